"""A source written again: what goes, what stays, byte for byte; reports that do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Run, error_line, names_in, records_of
from filtering import COPIES, folder_of, members, report, summary, tar_of, zip_of

from sscd_cli.commands import filter as filtering
from sscd_cli.descriptors.read import read_descriptors


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_a_folder_is_copied_without_what_any_report_calls_removable(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], format: str
) -> None:
    files = {f"in/{name}": data for name, data in pictures.items()}
    others = {"in/a.txt": b"a caption", "in/b.txt": b"another", ".hidden/x.png": b"x", "notes": b""}
    folder_of(tmp_path / "photos", {**files, **others})
    before = report(tiny, "photos", format)
    ran = tiny("filter", "photos", "--remove", before, "-o", "out")
    assert ran.status == 0, ran.err
    assert ran.err == summary(5, 2, "out", " with 1 caption or annotation")
    others.pop("in/b.txt")
    kept = {f"in/{name}" for name in pictures if name not in COPIES} | others.keys()
    assert {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*")} | {
        "notes"
    } == kept | {".hidden"}
    for name in kept:
        new, old = (tmp_path / root / name for root in ("out", "photos"))
        assert new.read_bytes() == old.read_bytes()
        assert new.stat().st_mtime_ns == old.stat().st_mtime_ns
        assert new.stat().st_ino != old.stat().st_ino
    assert len(list((tmp_path / "photos" / "in").iterdir())) == 7


def test_hard_links_take_no_space(tiny: Run, tmp_path: Path, pictures: dict[str, bytes]) -> None:
    folder_of(tmp_path / "photos", pictures)
    assert (
        tiny("filter", "photos", "--remove", report(tiny, "photos"), "-o", "out", "--link").status
        == 0
    )
    for name in ("a.png", "c.png", "e.png"):
        assert (tmp_path / "out" / name).samefile(tmp_path / "photos" / name)


def test_links_are_copied_as_what_they_lead_to(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    folder_of(tmp_path / "photos/in", pictures)
    (tmp_path / "photos/also").symlink_to(tmp_path / "made")
    (tmp_path / "photos/broken.png").symlink_to("nowhere")
    ran = tiny("filter", "photos", "--remove", report(tiny, "photos"), "-o", "out")
    assert ran.status == 0, ran.err
    unread = "1 image that cannot be read stayed, not verified\n"
    assert ran.err.endswith(unread + "9 images: 5 removed, 3 kept and verified in out\n")
    assert not (tmp_path / "out/also").is_symlink()
    assert (tmp_path / "out/broken.png").readlink() == Path("nowhere")


@pytest.mark.parametrize("policy", ["test", "photos/test/*", "b.*", "*test*"])
def test_a_split_can_be_spared(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], policy: str
) -> None:
    for name, data in pictures.items():
        folder_of(tmp_path / "photos", {f"{'test' if name == 'b.png' else 'train'}/{name}": data})
    before = report(tiny, "photos")
    if records_of(before.read_bytes())[0]["members"][0]["id"] == "test/b.png":
        pytest.fail("the image of the test split is not removable here")
    ran = tiny("filter", "photos", "--remove", before, "-o", "out", "--never-remove", policy)
    assert ran.err == ("1 removable image spared by --never-remove\n" + summary(5, 1, "out")), (
        ran.err
    )
    assert (tmp_path / "out/test/b.png").exists()


def test_a_report_of_two_sources_filters_each(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    tar_of(tmp_path / "one.tar", {"a.png": pictures["a.png"], "c.png": pictures["c.png"]})
    folder_of(tmp_path / "two", {name: pictures[name] for name in ("b.png", "d.png", "e.png")})
    assert tiny("dedup", "one.tar", "two", "-f", "jsonl", "-o", "r.jsonl").status == 0
    ran = tiny("filter", "two", "--remove", "r.jsonl", "-o", "out")
    assert ran.err == summary(3, 2, "out")
    error = error_line(tiny("filter", "one.tar", "--remove", "r.jsonl", "-o", "o.tar"))
    assert error.startswith("one.tar holds none of the 2 removable images of the report; name the")


def refusals(tmp_path: Path) -> dict[str, tuple[list[str], str]]:
    return {
        "exists": (["photos", "-o", "photos"], "photos exists; choose another place with -o"),
        "inside": (["photos", "-o", "photos/out"], f"photos/out lies in {tmp_path}/photos; choose"),
        "kind": (
            ["photos/a.png", "-o", "out"],
            "a.png is neither a folder, a container",
        ),
        "name": (["s.tar", "-o", "o.zip"], "o.zip is not named as s.tar is; use *.tar"),
        "missing": (["none.tar", "-o", "o.tar"], "cannot read the source"),
        "empty": (["empty", "-o", "out"], "no images in empty; name what sscd embed was given"),
    }


@pytest.mark.parametrize("case", ["exists", "inside", "kind", "name", "missing", "empty"])
def test_what_cannot_be_done_is_refused_and_leaves_nothing(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], case: str
) -> None:
    folder_of(tmp_path / "photos", pictures)
    (tmp_path / "empty").mkdir()
    tar_of(tmp_path / "s.tar", pictures)
    before = report(tiny, "photos")
    there = names_in(tmp_path)
    words, what = refusals(tmp_path)[case]
    ran = tiny("filter", *words, "--remove", before)
    assert ran.status in (2, 3)
    assert what in error_line(ran)
    assert names_in(tmp_path) == there


def test_what_lies_beside_an_image_goes_with_it_unless_another_needs_it(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    beside = ["b.txt", "b.png.json", "b.XMP", "b.html", "a.txt", "d.txt", "d.png.xmp", "bb.txt"]
    files = {**pictures, "d.tif.png": pictures["e.png"], "d.webp": b"torn"}
    folder_of(tmp_path / "photos", {**files, **dict.fromkeys(beside, b"x")})
    ran = tiny("filter", "photos", "--remove", report(tiny, "photos"), "-o", "out")
    assert "3 removed with 4 captions or annotations" in ran.err
    stayed = set(names_in(tmp_path / "out")) & set(beside)
    assert stayed == {"b.html", "a.txt", "d.txt", "bb.txt"}


@pytest.mark.parametrize("name", ["s.tar", "s.zip", "photos"])
def test_what_reads_back_otherwise_is_not_published(
    tiny: Run,
    tmp_path: Path,
    pictures: dict[str, bytes],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tar_of(tmp_path / "s.tar", pictures)
    zip_of(tmp_path / "s.zip", pictures)
    folder_of(tmp_path / "photos", pictures)
    before = report(tiny, name)
    read = filtering.read_held

    def spoilt(ref: Any, limit: int) -> Any:
        data, name = read(ref, limit)
        return (data[:-1] if ".part/" in ref.path and ref.id == "e.png" else data), name

    monkeypatch.setattr(filtering, "read_held", spoilt)
    output = f"out{Path(name).suffix}"
    error = error_line(tiny("filter", name, "--remove", before, "-o", output))
    assert "what was written differs from what should stay; nothing was written" in error
    assert not [name for name in names_in(tmp_path) if "out" in name]


def test_a_full_disk_leaves_nothing(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(tmp_path / "photos", pictures)
    before = report(tiny, "photos")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copy2", full)
    ran = tiny("filter", "photos", "--remove", before, "-o", "out")
    assert ran.status == 3
    assert "No space left on device" in error_line(ran)
    assert not [name for name in names_in(tmp_path) if "out" in name]


@pytest.mark.parametrize("name", ["s.tar", "photos", "s-*.tar"])
def test_what_another_run_wrote_meanwhile_stays(
    tiny: Run,
    tmp_path: Path,
    pictures: dict[str, bytes],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for shard in ("s.tar", "s-1.tar", "s-2.tar"):
        tar_of(tmp_path / shard, pictures)
    folder_of(tmp_path / "photos", pictures)
    before = report(tiny, name)
    output = Path("out.tar" if name == "s.tar" else "out")
    theirs = output if name == "s.tar" else output / "x"

    def appear(descriptor: int) -> None:
        theirs.parent.mkdir(exist_ok=True)
        theirs.write_bytes(b"of the other run")

    monkeypatch.setattr("os.fsync", appear)
    ran = tiny("filter", name, "--remove", before, "-o", output)
    assert error_line(ran) == f"{output} exists; choose another place with -o"
    assert theirs.read_bytes() == b"of the other run"
    assert [n for n in names_in(tmp_path) if "out" in n and "x" not in n] == [output.name]


@pytest.mark.parametrize("linked", [True, False])
def test_only_what_filter_made_is_removed_and_anyone_may_read_what_it_wrote(
    tiny: Run,
    tmp_path: Path,
    pictures: dict[str, bytes],
    linked: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for shard in ("s-1.tar", "s-2.tar"):
        tar_of(tmp_path / shard, pictures)
    folder_of(tmp_path, {".out.part/mine": b"precious", ".o.tar.part": b"precious"})
    before = report(tiny, "s-*.tar")
    if not linked:

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr("os.link", refuse)
    assert tiny("filter", "s-*.tar", "--remove", before, "-o", "out").status == 0
    assert tiny("filter", "s-2.tar", "--remove", before, "-o", "o.tar").status == 0
    for mine in (".out.part/mine", ".o.tar.part"):
        assert Path(mine).read_bytes() == b"precious"
    (tmp_path / "new").mkdir()
    assert Path("out").stat().st_mode == Path("new").stat().st_mode
    assert Path("o.tar").stat().st_mode == before.stat().st_mode
    assert len(members(Path("o.tar"))) == 0


def test_a_folder_of_copies_alone_becomes_an_empty_one(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    folder_of(tmp_path / "one", {name: pictures[name] for name in ("a.png", "c.png")})
    folder_of(tmp_path / "two", {name: pictures[name] for name in ("b.png", "d.png")})
    assert tiny("dedup", "one", "two", "-f", "jsonl", "-o", "r.jsonl").status == 0
    ran = tiny("filter", "two", "--remove", "r.jsonl", "-o", "out")
    assert ran.err == summary(2, 2, "out")
    assert names_in(tmp_path / "out") == []


@pytest.mark.parametrize("name", ["s.tar", "t.parquet"])
def test_ids_are_the_same_all_the_way_through_and_back_out(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], name: str
) -> None:
    key = ["--id-column", "key"] if name == "t.parquet" else []
    captions = {f"{Path(image).stem}.txt": b"a caption" for image in pictures}
    tar_of(tmp_path / "s.tar", dict(sorted({**pictures, **captions}.items())))
    pq.write_table(pa.table({"image": list(pictures.values()), "key": list(pictures)}), "t.parquet")
    folder_of(tmp_path / "query", {"q.png": pictures["e.png"]})
    assert tiny("embed", name, *key).status == 0
    assert tiny("index").status == 0
    hit = json.loads(tiny("search", "query/q.png", "-f", "jsonl").lines[0])
    assert hit["id"] == "e.png"
    before = report(tiny, name if not key else f"{name}#id=key")
    assert tiny("filter", name, *key, "--remove", before, "-o", f"out-{name}").status == 0
    assert tiny("embed", f"out-{name}", *key, "-d", "again").status == 0
    assert list(read_descriptors(Path("again")).ids) == ["a.png", "c.png", "e.png"]
