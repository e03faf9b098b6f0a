"""Photoshop files of any depth show what they show with 8 bits, which Pillow reads."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from drawn_pictures import draw_picture
from PIL import Image

from sscd_cli.images.decode import Decoded, decode
from sscd_cli.images.read import DEFAULT_LIMITS, Limits, Unreadable
from sscd_cli.images.refs import ImageRef

PICTURE = draw_picture(5, 96, 64)
NUMBERS = {"L": 1, "RGB": 3, "CMYK": 4, "LAB": 9}


def psd(mode: str, bits: int, packing: str = "raw", *, large: bool = False) -> bytes:
    """Return a file of the picture in some mode, without layers."""
    image = np.asarray(PICTURE.convert(mode if mode != "LAB" else "RGB")).reshape(64, 96, -1)
    bands = np.moveaxis(255 - image if mode == "CMYK" else image, 2, 0)
    values = {
        8: lambda: bands,
        16: lambda: (bands.astype(np.uint16) * 257).astype(">u2"),
        32: lambda: (bands / 255).astype(">f4"),
    }[bits]()
    rows = [row.tobytes() for band in values for row in band]
    body = b"\0\0" + b"".join(rows)
    if packing == "runs":
        codecs = pytest.importorskip("imagecodecs")
        runs = [bytes(codecs.packbits_encode(row)) for row in rows]
        lengths = [struct.pack(">I" if large else ">H", len(run)) for run in runs]
        body = b"\0\1" + b"".join(lengths) + b"".join(runs)
    elif packing == "zip":
        body = b"\0\2" + zlib.compress(b"".join(rows))
    version = 2 if large else 1
    head = struct.pack(">4sH6xHIIHH", b"8BPS", version, len(bands), 64, 96, bits, NUMBERS[mode])
    resource = struct.pack(">4sHHI", b"8BIM", 1000, 0, 0)
    before_body = bytes(4) + struct.pack(">I", len(resource)) + resource
    return head + before_body + bytes(8 if large else 4) + body


def read(folder: Path, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Decoded | Unreadable:
    (folder / "a.psd").write_bytes(data)
    return decode(ImageRef("a.psd", "", str(folder / "a.psd")), limits=limits)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("packing", ["raw", "runs", "zip"])
@pytest.mark.parametrize("large", [False, True], ids=["psd", "psb"])
def test_a_deep_file_shows_what_the_shallow_one_shows(
    tmp_path: Path, mode: str, bits: int, packing: str, large: bool
) -> None:
    (tmp_path / "8.psd").write_bytes(psd(mode, 8))
    with Image.open(tmp_path / "8.psd") as image:
        right = np.asarray(image.convert("RGB"))
    found = read(tmp_path, psd(mode, bits, packing, large=large))
    assert isinstance(found, Decoded), found
    assert (found.format, found.frames) == ("PSD", 1)
    assert found.pixels is not None
    assert np.abs(found.pixels.astype(int) - right).max() <= 1


@pytest.mark.parametrize("packing", ["raw", "runs", "zip"])
@pytest.mark.parametrize("length", [20, 40, 60, 200, -9])
def test_cut_it_is_truncated(tmp_path: Path, packing: str, length: int) -> None:
    found = read(tmp_path, psd("CMYK", 16, packing)[:length])
    assert isinstance(found, Unreadable)
    assert found.error == "truncated PSD"


def test_what_is_not_read_is_called_that(tmp_path: Path) -> None:
    found = read(tmp_path, psd("LAB", 16))
    assert isinstance(found, Unreadable)
    assert found.error == "PSD of a kind that is not read"


def test_limits_hold_for_it(tmp_path: Path) -> None:
    found = read(tmp_path, psd("RGB", 16), Limits(pixels=96 * 64 - 1))
    assert isinstance(found, Unreadable)
    assert "raise --max-pixels" in found.error
