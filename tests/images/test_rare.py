"""PFM in colour and JPEG beyond 8 bits a value become the pixels that were written."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from decoding import open_image
from numpy.typing import NDArray
from PIL import Image

from sscd_cli.images.decode import Decoded, decode
from sscd_cli.images.opening import UPRIGHT
from sscd_cli.images.read import DEFAULT_LIMITS, Limits, Unreadable
from sscd_cli.images.refs import ImageRef

GALLERY = Path(__file__).parents[1] / "data" / "gallery"
JPEG_KINDS = ("jpeg8", "ljpeg", "jpegls")


def picture() -> NDArray[np.uint8]:
    with Image.open(GALLERY / "alps.jpg") as image:
        return np.asarray(image.convert("RGB").resize((96, 64)))


def read(folder: Path, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Decoded | Unreadable:
    (folder / "a").write_bytes(data)
    return decode(ImageRef("a", "", str(folder / "a")), limits=limits)


def pixels(found: Decoded | Unreadable) -> NDArray[np.int16]:
    assert isinstance(found, Decoded), found
    assert found.pixels is not None
    return found.pixels.astype(np.int16)


def pfm(scale: str, order: str) -> bytes:
    values = (picture()[::-1] / 255).astype(f"{order}f4")
    return f"PF\n96 64\n{scale}\n".encode() + values.tobytes()


def jpeg(kind: str) -> bytes:
    codecs = pytest.importorskip("imagecodecs")
    values = picture().astype(np.uint16) * 257 >> 4
    if kind == "jpeg8":
        return bytes(codecs.jpeg8_encode(values, bitspersample=12, level=98))
    if kind == "ljpeg":
        return bytes(codecs.ljpeg_encode(np.ascontiguousarray(values[..., 1]), bitspersample=12))
    return bytes(codecs.jpegls_encode(values))


@pytest.mark.parametrize(("scale", "order"), [("-1.0", "<"), ("1.0", ">")])
def test_pfm_in_colour_is_read_from_the_bottom_up(tmp_path: Path, scale: str, order: str) -> None:
    found = read(tmp_path, pfm(scale, order))
    assert np.abs(pixels(found) - picture()).max() <= 1


@pytest.mark.parametrize("kind", JPEG_KINDS)
def test_jpeg_beyond_eight_bits_is_read(tmp_path: Path, kind: str) -> None:
    found = pixels(read(tmp_path, jpeg(kind)))
    wanted = picture()[..., 1:2] if kind == "ljpeg" else picture()
    assert np.abs(found - wanted).mean() < 2


def with_segments(data: bytes, *bodies: tuple[int, bytes]) -> bytes:
    """Return a JPEG file with more segments at its start, each by its marker."""
    parts = [b"\xff" + bytes([m]) + (len(b) + 2).to_bytes(2, "big") + b for m, b in bodies]
    return data[:2] + b"".join(parts) + data[2:]


@pytest.mark.parametrize("kind", JPEG_KINDS)
@pytest.mark.parametrize("orientation", [1, 2, 6, 8])
def test_it_is_turned_upright_once(tmp_path: Path, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = read(tmp_path, jpeg(kind))
    turned = read(tmp_path, with_segments(jpeg(kind), (0xE1, exif.tobytes())))
    assert isinstance(turned, Decoded)
    right = Image.fromarray(pixels(plain).astype(np.uint8))
    if orientation in UPRIGHT:
        right = right.transpose(UPRIGHT[orientation])
    assert np.array_equal(pixels(turned), np.asarray(right))
    assert (turned.width, turned.height) == right.size
    found = open_image((tmp_path / "a").read_bytes(), exif=False)
    assert np.array_equal(np.asarray(found), pixels(plain))


@pytest.mark.parametrize("kind", JPEG_KINDS)
def test_what_lies_before_its_frame_is_no_frame(tmp_path: Path, kind: str) -> None:
    plain = pixels(read(tmp_path, jpeg(kind)))
    frame = b"\xff\xc0\0\x11\x0c\0\x01\0\x01\x01"
    data = with_segments(jpeg(kind), *[(0xE2, (frame + bytes(500)) * 100)] * 2)
    assert np.array_equal(pixels(read(tmp_path, data)), plain)


@pytest.mark.parametrize("kind", JPEG_KINDS)
def test_cut_it_is_unreadable(tmp_path: Path, kind: str) -> None:
    assert isinstance(read(tmp_path, jpeg(kind)[:200]), Unreadable)


def test_a_pfm_file_that_ends_early_is_truncated(tmp_path: Path) -> None:
    found = read(tmp_path, pfm("-1.0", "<")[:-1])
    assert isinstance(found, Unreadable)
    assert found.error == "truncated PNM"


def test_without_the_extra_a_sound_file_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = jpeg("jpegls")
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    found = read(tmp_path, data)
    assert isinstance(found, Unreadable)
    assert found.error == "JPEG-LS needs pip install 'sscd-cli[tiff]'"


@pytest.mark.parametrize("data", [pfm("-1.0", "<"), b""], ids=["pfm", "jpeg"])
def test_limits_hold_for_it(tmp_path: Path, data: bytes) -> None:
    found = read(tmp_path, data or jpeg("jpeg8"), Limits(pixels=96 * 64 - 1))
    assert isinstance(found, Unreadable)
    assert "raise --max-pixels" in found.error
