"""Sparse files in tar archives: `tar --sparse` leaves their runs of zeros out."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sscd_cli.images.containers.tar import rewrite_tar
from sscd_cli.images.read import read_bytes, stat_image
from sscd_cli.images.refs import ImageRef, MissingMemberError
from sscd_cli.images.sources import iter_images

Pieces = list[tuple[int, int]]


def gnu(pieces: Pieces, size: int, data: bytes) -> bytes:
    """A sparse member as GNU tar writes it by default."""
    info = tarfile.TarInfo("s.bmp")
    info.size = len(data)
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    numbers = [f"{n:011o}\0".encode() for piece in pieces for n in piece]
    header[386 : 386 + 12 * min(8, len(numbers))] = b"".join(numbers[:8])
    header[482] = len(numbers) > 8
    header[483:495] = f"{size:011o}\0".encode()
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    more = b"".join(numbers[8:])
    return bytes(header) + more + bytes(-len(more) % 512) + data


def pax_of(pieces: Pieces, size: int, data: bytes, minor: int) -> bytes:
    """The same member with headers of PAX: version 0.1, or 1.0 with the pieces before the data."""
    info = tarfile.TarInfo("GNUSparseFile.1/s.bmp")
    flat = [n for piece in pieces for n in piece]
    info.pax_headers = {"GNU.sparse.name": "s.bmp"}
    before = b""
    if minor:
        info.pax_headers |= {
            "GNU.sparse.size": str(size),
            "GNU.sparse.map": ",".join(map(str, flat)),
        }
    else:
        info.pax_headers |= {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
        info.pax_headers["GNU.sparse.realsize"] = str(size)
        lines = "".join(f"{n}\n" for n in (len(pieces), *flat)).encode()
        before = lines + bytes(-len(lines) % 512)
    info.size = len(before) + len(data)
    return info.tobuf(tarfile.PAX_FORMAT) + before + data


FORMS: dict[str, Callable[[Pieces, int, bytes], bytes]] = {
    "gnu": gnu,
    "pax 0.1": lambda *sparse: pax_of(*sparse, 1),
    "pax 1.0": lambda *sparse: pax_of(*sparse, 0),
}


def archive(path: Path, form: str, pieces: Pieces, size: int) -> bytes:
    """Write an archive with a sparse file between plain ones; return what is in the file."""
    data = bytes(range(1, 251)) * 10
    data = data[: sum(length for _, length in pieces)]
    whole, at = bytearray(size), 0
    for begin, length in pieces:
        whole[begin : begin + length] = data[at : at + length]
        at += length
    plain = [tarfile.TarInfo(name) for name in ("a.png", "z.png")]
    for info in plain:
        info.size = 3
    parts = [info.tobuf(tarfile.GNU_FORMAT) + b"abc" + bytes(509) for info in plain]
    member = FORMS[form](pieces, size, data)
    path.write_bytes(parts[0] + member + bytes(-len(member) % 512) + parts[1] + bytes(1024))
    return bytes(whole)


def read_all(path: Path) -> dict[str, bytes]:
    return {ref.id: read_bytes(ref, 1 << 24)[0] for ref in iter_images([str(path)])}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("pieces", "size"),
    [
        ([(0, 512), (4096, 1000)], 9000),
        ([(512, 100), (9000, 0)], 9000),
        ([(100 * n, 50) for n in range(20)], 2000),  # more than a header of GNU's has room for
        ([(9000, 0)], 9000),
    ],
)
def test_a_sparse_member_is_read_with_its_zeros(
    tmp_path: Path, form: str, pieces: Pieces, size: int
) -> None:
    whole = archive(tmp_path / "a.tar", form, pieces, size)
    with tarfile.open(tmp_path / "a.tar") as tar:
        file = tar.extractfile("s.bmp")
        assert file is not None and file.read() == whole
    assert read_all(tmp_path / "a.tar") == {"a.png": b"abc", "s.bmp": whole, "z.png": b"abc"}
    (sparse,) = (ref for ref in iter_images([str(tmp_path / "a.tar")]) if ref.id == "s.bmp")
    assert stat_image(sparse).file_bytes == size


def test_a_sparse_member_that_is_larger_than_the_limit_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(gnu([(0, 10)], 7 << 30, b"x" * 10) + bytes(502 + 1024))
    (ref,) = iter_images([str(path)])
    with pytest.raises(OSError, match=r"^7516192768 bytes are more than the limit of 16777216$"):
        read_bytes(ref, 1 << 24)


@pytest.mark.parametrize("pieces", [[(0, 900)], [(0, 100), (50, 100)], [(600, 1)]])
def test_pieces_that_do_not_fit_are_damage(tmp_path: Path, pieces: Pieces) -> None:
    path = tmp_path / "a.tar"
    archive(path, "gnu", [(0, 10)], 500)
    path.write_bytes(gnu(pieces, 500, b"x" * 512) + bytes(1024))
    (ref,) = iter_images([str(path)])
    with pytest.raises(OSError, match="a sparse file of which the pieces do not fit"):
        read_bytes(ref, 1 << 24)


@pytest.mark.parametrize("form", FORMS)
def test_a_link_to_a_sparse_member_that_goes_becomes_the_file(tmp_path: Path, form: str) -> None:
    whole = archive(tmp_path / "a.tar", form, [(0, 512), (4096, 1000)], 9000)
    link = tarfile.TarInfo("link.bmp")
    link.type, link.linkname = tarfile.LNKTYPE, "s.bmp"
    with tarfile.open(tmp_path / "a.tar", "a") as tar:
        tar.addfile(link)
    rewrite_tar(str(tmp_path / "a.tar"), str(tmp_path / "b.tar"), {"a.png"})
    assert read_all(tmp_path / "b.tar") == {"s.bmp": whole, "z.png": b"abc", "link.bmp": whole}
    rewrite_tar(str(tmp_path / "a.tar"), str(tmp_path / "c.tar"), {"s.bmp"})
    assert read_all(tmp_path / "c.tar") == {"a.png": b"abc", "z.png": b"abc", "link.bmp": whole}


def reason(ref: ImageRef) -> str:
    with pytest.raises(MissingMemberError) as caught:
        read_bytes(ref, 99)
    return str(caught.value)


def test_what_is_no_file_in_a_tar_is_called_what_it_is(tmp_path: Path) -> None:
    kinds = {
        "out.jpg": (tarfile.SYMTYPE, "/srv/a.jpg"),
        "gone.jpg": (tarfile.SYMTYPE, "b.jpg"),
        "chain.jpg": (tarfile.SYMTYPE, "gone.jpg"),
        "pipe.jpg": (tarfile.FIFOTYPE, ""),
    }
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, (kind, target) in kinds.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info, io.BytesIO())
    assert {ref.id: reason(ref) for ref in iter_images([str(tmp_path / "a.tar")])} == {
        "out.jpg": "a link to /srv/a.jpg, which is no file in the archive",
        "gone.jpg": "a link to b.jpg, which is no file in the archive",
        "chain.jpg": "a link to b.jpg, which is no file in the archive",
        "pipe.jpg": "not a regular file in the archive",
    }
