"""PFM in colour and JPEG beyond 8 bits a value become the pixels that were written."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sscd_cli.images.decode import DEFAULT_LIMITS, Decoded, Limits, Unreadable, decode
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
