"""A folder, an archive or a list that cannot be read to its end costs its own images alone."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import shutil
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from conftest import Run, error_line, picture

from sscd_cli.descriptors import shards as shards_module
from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.errors import SscdError, SscdWarning
from sscd_cli.images.read import read_bytes
from sscd_cli.images.refs import Survey
from sscd_cli.images.sources import iter_images


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """Return three tars of two pictures each."""
    made = []
    for number in range(3):
        path = tmp_path / f"s-{number}.tar"
        with tarfile.open(path, "w") as archive:
            for n in (0, 1):
                file = picture(tmp_path / "tmp.png", 10 * number + n, (200, 150))
                archive.add(file, f"{number}-{n}.png")
        made.append(path)
    (tmp_path / "tmp.png").unlink()
    return made


def truncate(path: Path, size: int) -> bytes:
    whole = path.read_bytes()
    path.write_bytes(whole[:size])
    return whole


def stored(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return the ids of the images with a descriptor, and the reasons of the others by theirs."""
    found = read_descriptors(folder)
    failed = found.unreadable
    return sorted(found.ids), dict(zip(failed.ids, failed.errors, strict=True))


def test_a_truncated_shard_is_a_row_and_the_others_are_read(
    tiny: Run, tmp_path: Path, shards: list[Path]
) -> None:
    whole = truncate(shards[1], 2000)  # in the middle of its first picture
    words = ["embed", f"{tmp_path}/s-{{0..2}}.tar", "-d", tmp_path / "d"]
    ran = tiny(*words)
    assert ran.status == 0
    assert "sscd: warning: s-1.tar: the archive cannot be read to its end: truncated" in ran.err
    ids, failed = stored(tmp_path / "d")
    assert ids == ["0-0.png", "0-1.png", "2-0.png", "2-1.png"]
    assert set(failed) == {"1-0.png", str(shards[1])}
    assert "byte" in failed[str(shards[1])]
    assert tiny(*words, "--strict").status == 4
    assert "sscd: warning: s-1.tar: " in tiny(*words, "-q").err
    shards[1].write_bytes(whole)
    ran = tiny(*words, "--strict")
    assert ran.status == 0, ran.err
    assert stored(tmp_path / "d") == (["0-0.png", "0-1.png", "1-0.png", "1-1.png", *ids[2:]], {})


def test_a_fault_belongs_to_the_task_that_opened_the_archive(
    tiny: Run, tmp_path: Path, shards: list[Path]
) -> None:
    truncate(shards[1], 2000)
    for task in ("1/2", "2/2"):
        assert tiny("embed", *shards, "-d", tmp_path / "d", "--task", task).status == 0
    ids, failed = stored(tmp_path / "d")
    assert len(ids) == 4
    assert list(failed).count(str(shards[1])) == 1


def test_an_archive_of_which_nothing_can_be_read_is_an_error(tiny: Run, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no archive")
    ran = tiny("embed", tmp_path / "a.tar")
    assert ran.status == 3
    assert "cannot read the archive" in ran.err
    assert "not a tar archive, or cut off in its first header; fetch or make it again" in ran.err
    assert not (tmp_path / "descriptors").exists()


def test_a_missing_shard_of_a_pattern_costs_itself_alone(
    tiny: Run, tmp_path: Path, shards: list[Path]
) -> None:
    shards[1].unlink()
    ran = tiny("embed", f"{tmp_path}/s-{{0..2}}.tar", "--strict")
    assert ran.status == 4
    assert "s-1.tar: the source cannot be read" in ran.err
    assert len(stored(tmp_path / "descriptors")[0]) == 4


def test_missing_sources_are_told_before_the_work(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1)
    ran = tiny("embed", tmp_path / "a.png", tmp_path / "none")
    assert ran.status == 3
    assert not (tmp_path / "descriptors").exists()


def test_an_unreadable_folder_is_a_row(
    tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "p" / "a" / "1.png", 1)
    picture(tmp_path / "p" / "b" / "2.png", 2)
    picture(tmp_path / "p" / "c" / "3.png", 3)
    with monkeypatch.context() as patch:
        scandir = os.scandir

        def guarded(path: str) -> object:
            if str(path).rstrip("/").endswith("/b"):
                raise PermissionError(13, "Permission denied", path)
            return scandir(path)

        patch.setattr(os, "scandir", guarded)
        ran = tiny("embed", tmp_path / "p", "--strict")
        assert ran.status == 4
        assert "p/b: the folder cannot be read to its end: Permission denied; make it" in ran.err
    folder = str(tmp_path / "p" / "b")
    assert list(stored(tmp_path / "descriptors")[1]) == [folder]
    assert tiny("embed", tmp_path / "p", "--strict").status == 0
    assert stored(tmp_path / "descriptors") == (["a/1.png", "b/2.png", "c/3.png"], {})


def test_a_damaged_list_keeps_what_was_read(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "1.png", 1)
    rows = '{"file_name": "1.png"}\n\n{"file_name": oops}\n'
    (tmp_path / "l.jsonl").write_text(rows)
    ran = tiny("embed", tmp_path / "l.jsonl", "--strict")
    assert ran.status == 4
    assert "line 3, column 15: Expecting value (after 1 image)" in ran.err
    assert stored(tmp_path / "descriptors")[0] == ["1.png"]


@pytest.mark.parametrize("nested", ['{"a":' * 100_000, "[" * 100_000])
def test_nested_json_is_one_reason(tiny: Run, tmp_path: Path, nested: str) -> None:
    for name in ("l.jsonl", "l.json"):
        (tmp_path / name).write_text(nested)
        ran = tiny("embed", tmp_path / name)
        assert ran.status == 3
        assert "its values are nested too deeply" in ran.err


def test_rows_that_name_no_image_are_told_in_one_line(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "1.png", 1)
    rows = [{"conversations": []}, {"image": "1.png"}, {"conversations": []}]
    (tmp_path / "l.json").write_text(json.dumps(rows))
    for strict in ([], ["--strict"]):
        ran = tiny("embed", "l.json", *strict)
        assert ran.status == (4 if strict else 0)
        assert (
            f"l.json: 2 rows of {tmp_path}/l.json name no image, the first is row 1; "
            "fill them in, or drop them"
        ) in ran.err
        assert "2 images: " in ran.err
    (tmp_path / "l.json").write_text(json.dumps(rows[1:2]))
    assert tiny("embed", "l.json", "--strict").status == 0
    (tmp_path / "l.json").write_text(json.dumps(rows[:1]))
    assert "has no column with images" in error_line(tiny("embed", "l.json"))


def test_rows_are_kept_when_a_later_source_ends_the_run(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "1.png", 1)
    (tmp_path / "l.csv").write_text("image,n\n1.png,1\n")
    (tmp_path / "l.json").write_text("{}")
    ran = tiny("embed", tmp_path / "1.png", tmp_path / "l.csv", tmp_path / "l.json")
    assert ran.status == 3
    assert "l.json is no COCO file" in ran.err
    assert set(stored(tmp_path / "descriptors")[0]) == {"1.png", str(tmp_path / "1.png")}


def test_whoever_needs_all_images_gets_an_error(shards: list[Path]) -> None:
    truncate(shards[1], 2000)
    with pytest.raises(SscdError, match=r"cannot read the archive .*s-1\.tar: truncated"):
        list(iter_images([str(shards[1])]))


@pytest.mark.parametrize("cut", [1, 9, 500])
def test_a_truncated_compressed_tar_keeps_its_first_members(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for n in range(5):
            info = tarfile.TarInfo(f"{n}.jpg")
            info.size = 3000
            archive.addfile(info, io.BytesIO(os.urandom(3000)))
    truncate(path, path.stat().st_size - cut)
    *images, last = iter_images([str(path)], survey=Survey())
    assert [ref.id for ref in images[:4]] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert last.fault is not None
    assert last.id == str(path)


def test_a_damaged_byte_in_a_compressed_tar_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("a.jpg")
        info.size = 100_000
        archive.addfile(info, io.BytesIO(os.urandom(100_000)))
    data = bytearray(path.read_bytes())
    data[-6] ^= 1  # of the checksum
    path.write_bytes(data)
    with pytest.raises(gzip.BadGzipFile), gzip.open(path) as file:
        shutil.copyfileobj(file, io.BytesIO())
    assert [ref.fault is not None for ref in iter_images([str(path)], survey=Survey())][-1]


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_any_damage_of_what_is_packed_is_a_row(tiny: Run, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.tar.{kind}"
    with tarfile.open(path, f"w:{kind}") as archive:  # type: ignore[call-overload]
        for n in range(3):
            archive.add(picture(tmp_path / "p" / f"{n}.png", n, (400, 300)), f"{n}.png")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    picture(tmp_path / "b.png", 9)
    ran = tiny("embed", path, tmp_path / "b.png", "--strict")
    assert ran.status == 4
    assert f"a.tar.{kind}: the archive cannot be read to its end" in ran.err
    assert str(tmp_path / "b.png") in stored(tmp_path / "descriptors")[0]


def test_a_folder_of_archives_alone_is_read(tiny: Run, tmp_path: Path, shards: list[Path]) -> None:
    folder = tmp_path / "all" / "deep"
    folder.mkdir(parents=True)
    for shard in shards:
        shard.rename(folder / shard.name)
    assert tiny("embed", "all").status == 0
    assert len(stored(tmp_path / "descriptors")[0]) == 6
    picture(tmp_path / "all" / "1.png", 99)  # beside pictures they may be copies of these
    ran = tiny("embed", "all", "-d", "other")
    assert "not images: 3 .tar" in ran.err
    assert stored(tmp_path / "other")[0] == ["1.png"]


def test_what_is_no_image_is_counted_and_told(tiny: Run, tmp_path: Path) -> None:
    root = tmp_path / "p"
    picture(root / "photos" / "1.png", 1)
    for bin in ("#recycle", "$RECYCLE.BIN", "@Recycle", "photos/@eaDir", ".Trash-1000"):
        picture(root / bin / "1.png", 1)
    picture(root / ".trashed-1-a.png", 1)
    (root / "a.txt").touch()
    (root / "b.TXT").touch()
    (root / "noted").touch()
    ran = tiny("embed", "p")
    assert "1 image: 1 embedded" in ran.err
    assert "not images: 2 .txt, 1 without a suffix\n" in ran.err
    (line,) = (line for line in ran.err.splitlines() if line.startswith("skipped: "))
    for bin in ("1 #recycle", "1 $RECYCLE.BIN", "1 @Recycle", "1 @eaDir", "1 .trashed-*"):
        assert bin in line


@pytest.mark.parametrize("bin", ["RECYCLER", "Recycled", "Network Trash Folder"])
def test_older_recycle_bins_are_skipped_and_counted(tiny: Run, tmp_path: Path, bin: str) -> None:
    picture(tmp_path / "p" / "1.png", 1)
    picture(tmp_path / "p" / bin / "1.png", 1)
    ran = tiny("embed", "p")
    assert "1 image: 1 embedded" in ran.err
    assert f"skipped: 1 {bin}\n" in ran.err


def test_files_are_known_as_images_by_their_first_bytes(tiny: Run, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    for number, kind in enumerate(("png", "jpg", "gif", "webp", "bmp", "tif", "ppm", "ico")):
        picture(tmp_path / f"made.{kind}", number).rename(tmp_path / "p" / str(number))
    (tmp_path / "p" / "text").write_text("no image")
    picture(tmp_path / "made.png", 9).rename(tmp_path / "p" / "x.png.part")
    assert tiny("embed", "p").status == 0
    assert stored(tmp_path / "descriptors") == ([str(n) for n in range(8)], {})
    assert tiny("embed", "p", "--include", "*", "-d", "all").status == 0
    ids, failed = stored(tmp_path / "all")
    assert (len(ids), list(failed)) == (9, ["text"])


def test_a_filtered_folder_keeps_what_lies_beside_its_images(tmp_path: Path) -> None:
    from sscd_cli.images.containers.folder import copy_folder

    root = tmp_path / "p"
    for name in ("scan.png", "other.png", "#recycle/a.png", "b.png"):
        picture(root / name, len(name))
    (root / "scan.png").rename(root / "scan")
    (root / "other.png").rename(root / "other")
    copy_folder(str(root), str(tmp_path / "out"), {"scan"}, link=False, uploaded=print)
    left = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.png"))
    assert left == ["#recycle/a.png", "b.png"]
    assert (tmp_path / "out" / "other").is_file()
    assert not (tmp_path / "out" / "scan").exists()


def test_times_after_2262_are_stored_as_the_last_that_can_be(tiny: Run, tmp_path: Path) -> None:
    path = picture(tmp_path / "p" / "1.png", 1)
    os.utime(path, ns=(0, 9_300_000_000 * 10**9))
    assert "1 image: 1 embedded" in tiny("embed", "p").err
    assert "1 unchanged" in tiny("embed", "p").err


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_folder_without_locks_is_warned_of_once(
    tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    picture(tmp_path / "p" / "1.png", 1)

    def refusing(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.lockf", refusing)
    shards_module._warn_of_no_locks.cache_clear()
    with pytest.warns(SscdWarning, match="on a file system without locks") as caught:
        assert tiny("embed", "p").status == 0
        assert tiny("embed", "p", "--task", "1/1", "-d", "other").status == 0
    assert len(caught) == 2  # of each folder once, however many locks it has


@pytest.mark.parametrize(
    "name", ["p.parquet", "p.tar", "p.zip", "p.tar.gz", "p.csv", "p.jsonl", "p.txt"]
)
def test_a_git_lfs_pointer_is_called_that(tiny: Run, tmp_path: Path, name: str) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{1:064}\nsize 9\n"
    (tmp_path / name).write_text(pointer)
    ran = tiny("embed", name)
    assert ran.status == 3
    assert ran.err.endswith(": a Git LFS pointer, not the file itself; run git lfs pull\n")


def test_a_zip_member_of_a_wrong_size_takes_no_more_memory_than_it_says(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(200 << 20))
    size = (200 << 20).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (1000).to_bytes(4, "little")))
    (ref,) = iter_images([str(path)])
    tracemalloc.start()
    with pytest.raises(zipfile.BadZipFile):
        read_bytes(ref, 1 << 30)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_an_encrypted_zip_member_is_called_that(tmp_path: Path) -> None:
    path = tmp_path / "a.cbz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"x")
    data = bytearray(path.read_bytes())
    for start in (data.index(b"PK\3\4") + 6, data.index(b"PK\1\2") + 8):
        data[start] |= 1
    path.write_bytes(data)
    (ref,) = iter_images([str(path)])
    with pytest.raises(OSError, match=r"^encrypted with a password: unpack the archive$"):
        read_bytes(ref, 99)


def test_members_of_one_name_are_told(tiny: Run, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for seed in (1, 2):
            archive.add(picture(tmp_path / "x.png", seed), "x.png")
    ran = tiny("embed", "a.tar")
    assert "1 member of archives left out: a later one has the same name" in ran.err


def test_a_folder_of_archives_is_filtered_by_their_names(
    tiny: Run, tmp_path: Path, shards: list[Path]
) -> None:
    (tmp_path / "all").mkdir()
    shutil.copy(shards[0], tmp_path / "all" / "a.tar")
    shutil.copy(shards[0], tmp_path / "all" / "b.tar")
    assert tiny("dedup", "all", "-t", "0.99", "-f", "jsonl", "-o", "r.jsonl").status == 0
    ran = tiny("filter", "all", "--remove", "r.jsonl", "-o", "clean")
    assert ran.status == 3
    assert f"holds archives, no images; name '{tmp_path}/all/*.tar'" in ran.err
    assert tiny("filter", "all/*.tar", "--remove", "r.jsonl", "-o", "clean").status == 0
    assert sum(1 for _ in iter_images([f"{tmp_path}/clean/*.tar"])) == 2


def test_nothing_but_archives_that_cannot_be_read_is_one_line(tiny: Run, tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        (tmp_path / name).write_bytes(b"no archive")
    for words in (("embed", "a.tar", "b.tar"), ("dedup", "a.tar", "b.tar")):
        ran = tiny(*words)
        assert ran.status == 3
        assert error_line(ran).startswith("none of 2 images can be read, such as ")
        assert "a.tar: the archive cannot be read to its end: not a tar archive" in error_line(ran)
