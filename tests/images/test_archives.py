"""Images in tar and zip files: their names, links, damage and bombs."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import random
import shutil
import struct
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pyarrow as pa
import pytest
from conftest import names_in

from sscd_cli.errors import SscdError
from sscd_cli.images.containers import tar
from sscd_cli.images.read import read_bytes
from sscd_cli.images.refs import MissingMemberError, Survey
from sscd_cli.images.sources import iter_images
from sscd_cli.images.status import stat_image, stored_ref


def ids(*sources: object, **options: object) -> list[str]:
    return [ref.id for ref in iter_images([str(s) for s in sources], **options)]  # type: ignore[arg-type]


def packed(path: Path, mode: str, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_tar_members_come_as_stored(tmp_path: Path, mode: str) -> None:
    name = "a.tar.gz" if mode == "w:gz" else "a.tar"
    path = packed(
        tmp_path / name,
        mode,
        member("z.jpg", size=9999),
        member("./d", tarfile.DIRTYPE),
        member("./d/a.png"),
        member("d/notes.txt"),
        member("d/._a.png"),
        member("d/\udcff.jpg"),
        member("link.jpg", tarfile.SYMTYPE),
    )
    refs = list(iter_images([str(path)]))
    assert [(r.id, r.member) for r in refs] == [
        ("z.jpg", "z.jpg"),
        ("d/a.png", "./d/a.png"),
        ("d/\udcff.jpg", "d/\udcff.jpg"),
        ("link.jpg", "link.jpg"),
    ]
    assert {(r.source, r.path) for r in refs} == {(str(path), str(path))}


def linked(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = member(name, kind)
    info.linkname = target
    return info


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_links_in_a_tar_are_what_they_lead_to(tmp_path: Path, mode: str) -> None:
    path = packed(
        tmp_path / ("a.tgz" if mode == "w:gz" else "a.tar"),
        mode,
        linked("d/early.jpg", "./late.jpg"),
        member("a.jpg", size=3),
        linked("hard.jpg", "./a.jpg", tarfile.LNKTYPE),
        member("a.jpg", size=5),
        linked("d/up.jpg", "../a.jpg"),
        linked("d/chain.jpg", "name"),
        linked("d/name", "../blobs/1"),
        member("blobs/1", size=7),
        member("d/late.jpg", size=9),
        linked("round.jpg", "round.jpg"),
        linked("out.jpg", "/etc/hostname"),
        linked("../up.jpg", "../../etc/hostname"),
        linked("folder.jpg", "d"),
    )
    sizes = {}
    for ref in iter_images([str(path)]):
        for one in (ref, stored_ref(str(path), ref.id)):
            try:
                sizes[ref.id] = len(read_bytes(one, 99)[0])
                assert stat_image(one).file_bytes == sizes[ref.id]
            except MissingMemberError:
                sizes[ref.id] = -1
    assert sizes == {
        "d/early.jpg": 9, "hard.jpg": 3, "a.jpg": 5, "d/up.jpg": 5, "d/chain.jpg": 7,
        "d/late.jpg": 9, "round.jpg": -1, "out.jpg": -1, "../up.jpg": -1, "folder.jpg": -1,
    }  # fmt: skip


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_tar_is_unpacked_once_whatever_the_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    sizes = range(10_000, 10_060)
    path = packed(
        tmp_path / f"a.tar.{mode[2:]}", mode, *(member(f"{n}.jpg", size=n) for n in sizes)
    )
    unpacked = []
    unpack = tar.unpack

    def counting(file: IO[bytes]) -> object:
        unpacked.append(file)
        return unpack(file)

    monkeypatch.setattr(tar, "unpack", counting)
    refs = list(iter_images([str(path)]))
    random.Random(0).shuffle(refs)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda ref: len(read_bytes(ref, 1 << 20)[0]), refs))
    assert found == [int(ref.id[:-4]) for ref in refs]
    assert len(unpacked) == 1


def test_a_compressed_tar_is_read_as_a_stream_where_the_disk_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed(tmp_path / "a.tgz", "w:gz", *(member(f"{n}.jpg", size=n) for n in range(99)))
    monkeypatch.setattr("sscd_cli.images.containers.packing.LEFT_FREE", 1 << 60)
    refs = list(iter_images([str(path)]))
    assert [len(read_bytes(ref, 99)[0]) for ref in reversed(refs)] == list(reversed(range(99)))


@pytest.mark.parametrize("name", ["a.tar.bz2", "a.tbz2", "a.tar.xz", "a.txz", "a.tar.zst"])
def test_tars_may_be_packed_in_many_ways(tmp_path: Path, name: str) -> None:
    path = packed(tmp_path / "a.tar", "w", *(member(f"{n}.jpg", size=n) for n in range(9)))
    packs = {"b": bz2.compress, "x": lzma.compress, "z": lambda data: pa.compress(data, "zstd")}
    kind = "z" if name.endswith("zst") else "b" if "b" in name else "x"
    data = packs[kind](path.read_bytes())
    other = tmp_path / name
    other.write_bytes(data.to_pybytes() if kind == "z" else data)
    assert [len(read_bytes(ref, 99)[0]) for ref in iter_images([str(other)])] == list(range(9))
    other.write_bytes(other.read_bytes()[:-9])
    with pytest.raises(SscdError, match="cannot read the archive"):
        list(iter_images([str(other)]))


def test_a_tar_with_a_damaged_header_is_not_taken_for_a_shorter_one(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar", "w", *(member(f"{n}.jpg", size=700) for n in range(4)))
    data = bytearray(path.read_bytes())
    data[2 * 1536 + 100] ^= 1  # a header and two blocks of contents for each member
    path.write_bytes(data)
    with pytest.raises(SscdError, match=r"cannot read the archive .*: damaged header at byte 3072"):
        list(iter_images([str(path)]))


def test_damaged_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"no archive")
    with pytest.raises(SscdError, match=r"cannot read the archive .*a\.tar: .*; fetch or make"):
        ids(path)
    whole = packed(tmp_path / "b.tgz", "w:gz", *(member(f"{i}.jpg", size=i) for i in range(99)))
    whole.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(SscdError, match=r"cannot read the archive .*b\.tgz"):
        ids(whole)


def zipped(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def test_zip_members_come_as_stored_and_their_names_are_no_paths(tmp_path: Path) -> None:
    names = [
        "z.jpg",
        "d/",
        "./d/a.png",
        "d/notes.txt",
        "/etc/b.png",
        "../c.gif",
        "__MACOSX/._z.jpg",
    ]
    path = zipped(tmp_path / "a.ZIP", *((name, name.encode()) for name in names))
    refs = list(iter_images([str(path)]))
    assert [(r.id, r.member) for r in refs] == [
        ("z.jpg", "z.jpg"), ("d/a.png", "./d/a.png"), ("/etc/b.png", "/etc/b.png"),
        ("../c.gif", "../c.gif"),
    ]  # fmt: skip
    assert {(r.source, r.path) for r in refs} == {(str(path), str(path))}
    assert [read_bytes(r, 99)[0].decode() for r in refs] == [r.member for r in refs]
    assert names_in(tmp_path) == ["a.ZIP"]


@pytest.mark.parametrize("name", ["a.tar", "a.zip"])
def test_a_container_without_images_names_none(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    packed(path, "w") if name == "a.tar" else zipped(path)
    assert ids(path) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["a.tar", "a.zip"])
def test_of_members_with_one_name_the_last_counts_once(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.tar":
        packed(path, "w", member("x.jpg", size=3), member("y.jpg"), member("x.jpg", size=5))
    else:
        zipped(path, ("x.jpg", b"xxx"), ("y.jpg", b""), ("x.jpg", b"xxxxx"))
    refs = {ref.id: ref for ref in iter_images([str(path)])}
    assert len(ids(path)) == len(refs) == 2
    for ref in (refs["x.jpg"], stored_ref(str(path), "x.jpg")):
        assert read_bytes(ref, 99)[0] == b"xxxxx"
        assert stat_image(ref).file_bytes == 5


def test_a_stored_key_leads_back_to_a_member_however_its_name_is_spelled(tmp_path: Path) -> None:
    for path in (
        packed(tmp_path / "a.tar", "w", member("./d//a.png", size=4)),
        packed(tmp_path / "a.tgz", "w:gz", member("./d//a.png", size=4)),
        zipped(tmp_path / "a.zip", ("./d//a.png", b"xxxx")),
    ):
        (ref,) = iter_images([str(path)])
        assert ref.id == "d/a.png"
        assert read_bytes(stored_ref(ref.source, ref.id), 9) == read_bytes(ref, 9)
        with pytest.raises(MissingMemberError):
            stat_image(stored_ref(ref.source, "d/b.png"))


def test_a_place_in_a_tar_that_was_written_anew_is_looked_up_again(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar", "w", member("a.jpg", size=3), member("b.jpg", size=4))
    refs = list(iter_images([str(path)]))
    packed(path, "w", member("new.jpg", size=5000), member("a.jpg", size=6))
    os.utime(path, ns=(1, 1))
    assert read_bytes(refs[0], 99)[0] == b"x" * 6
    with pytest.raises(MissingMemberError):
        read_bytes(refs[1], 99)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("bomb.png", bytes(1 << 24)), ("lies.png", bytes(1 << 24)))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\1\2") + 24  # where the directory says how long the last member is
    data[at : at + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(data)
    bomb, lies = iter_images([str(path)])
    with pytest.raises(OSError, match=r"16777216 bytes are more than the limit of 65536"):
        read_bytes(bomb, 1 << 16)
    with pytest.raises(zipfile.BadZipFile):
        read_bytes(lies, 1 << 16)


@pytest.mark.parametrize("name", ["a.tar", "a.zip"])
def test_bins_in_an_archive_are_skipped_and_counted(tmp_path: Path, name: str) -> None:
    members = ["x.jpg", "#recycle/y.jpg", "#recycle/deep/z.jpg", "a/@eaDir/x.jpg/t.jpg", ".h/x.jpg"]
    for member in members:
        (tmp_path / "in" / member).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / member).write_bytes(b"x")
    shutil.make_archive(str(tmp_path / "a"), name[2:], tmp_path / "in")
    survey = Survey()
    found = iter_images([str(tmp_path / name)], survey=survey)
    assert [ref.id for ref in found] == ["x.jpg"]
    assert survey.bins == {"#recycle": 1, "@eaDir": 1}


class Pipe(io.BytesIO):
    """What nobody can go back in, so that sizes follow what they are of."""

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation

    tell = seek


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("target", [io.BytesIO, Pipe])
@pytest.mark.parametrize("zip64", [False, True])
def test_a_zip_that_was_cut_off_keeps_the_members_before(
    tmp_path: Path, kind: int, target: type[io.BytesIO], zip64: bool
) -> None:
    members = {f"{n}é.jpg": random.Random(n).randbytes(2000) + b"PK\7\x08" * n for n in range(5)}
    file = target()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, data in members.items():
            with archive.open(name, "w", force_zip64=zip64) as member:
                member.write(data)
    whole = file.getvalue()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        infos = archive.infolist()
    starts = [info.header_offset for info in infos]
    if target is Pipe and not zip64:  # some writers say both before and after
        for info in infos:
            at, sizes = info.header_offset + 14, (info.CRC, info.compress_size, info.file_size)
            whole = whole[:at] + struct.pack("<3I", *sizes) + whole[at + 12 :]
    ends = [*starts[1:], whole.index(b"PK\1\2")]
    path = tmp_path / "a.cbz"
    for size in (*range(0, ends[-1], 97), *range(ends[-1], len(whole), 5)):
        path.write_bytes(whole[:size])
        *images, last = iter_images([str(path)], survey=Survey())
        count = sum(end <= size for end in ends)
        read = {ref.id: read_bytes(ref, 1 << 20)[0] for ref in images[:count]}
        assert read == dict(list(members.items())[:count])
        for cut in images[count:]:
            with pytest.raises(OSError, match="the archive is truncated"):
                read_bytes(cut, 1 << 20)
        assert len(images) <= count + 1
        assert last.fault is not None
        if size >= 4:
            reason = f"truncated or damaged at byte {[0, *ends][count]}: no whole directory"
            assert last.fault.reason.startswith(reason)


def test_a_large_member_of_a_zip_that_was_cut_off_is_found(tmp_path: Path) -> None:
    file, large = Pipe(), random.Random(0).randbytes(3 << 20)
    for size in range((1 << 20) - 70, (1 << 20) - 40):  # a descriptor across two chunks
        with zipfile.ZipFile(file := Pipe(), "w") as archive:
            archive.writestr("a.png", large[:size])
            archive.writestr("b.png", large)
        (tmp_path / "a.zip").write_bytes(file.getvalue()[:-50])
        *images, _ = iter_images([str(tmp_path / "a.zip")], survey=Survey())
        assert [read_bytes(ref, 1 << 23)[0] for ref in images] == [large[:size], large]


@pytest.mark.parametrize("at", [7, 29, 30])
def test_a_zip_with_neither_directory_nor_sound_headers_is_named(tmp_path: Path, at: int) -> None:
    path = zipped(tmp_path / "a.zip", ("é.png", b"x" * 9))
    data = bytearray(path.read_bytes()[:-30])
    data[at] ^= 255
    path.write_bytes(data)
    *_, last = iter_images([str(path)], survey=Survey())
    assert last.fault is not None
    with pytest.raises(SscdError, match="truncated or damaged at byte"):
        ids(path)


@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\5\6"])
def test_a_damaged_zip_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(SscdError, match=r"cannot read the archive .*a\.zip: .*; fetch or make"):
        ids(tmp_path / "a.zip")
