"""What Pillow would clip, wrap round or make invisible looks like the same picture in 8 bits."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA
from decoding import encoded, pixels, unreadable, written
from drawn_pictures import draw_picture
from PIL import Image, ImageDraw
from tiffs import tiff

from sscd_cli.images import colours
from sscd_cli.images.guards import need_of
from sscd_cli.models.load import Model, load_model

PICTURE = draw_picture(5, 96, 64)
COLOURS = np.asarray(PICTURE).astype(int)
GREY = np.asarray(PICTURE.convert("L")).astype(int)
NAMES = ("alps", "leaf", "reef", "clock", "agate")


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(device="cpu", precision="fp32")


def deep_png(values: np.ndarray) -> bytes:
    """Return a PNG of 16 bits a channel, RGB or RGBA, which Pillow does not write."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("name", NAMES)
def test_colours_of_few_of_16_bits_look_like_the_picture(name: str, model: Model) -> None:
    picture = Image.open(DATA / "gallery" / f"{name}.jpg").convert("RGB").reduce(4)
    values = np.asarray(picture).astype(np.uint16)
    wanted = model.embed([picture])[0]
    for factor in (257, 64, 16, 4, 1):
        ppm = b"P6\n%d %d\n65535\n" % picture.size + (values * factor).astype(">u2").tobytes()
        for data in (deep_png(values * factor), tiff(values * factor), ppm):
            found = model.embed([pixels(data).astype(np.uint8)])[0]
            assert float(found @ wanted) >= 0.97


def test_colours_of_8_of_16_bits_are_those_of_8() -> None:
    opaque = np.dstack([COLOURS, np.full(COLOURS.shape[:2], 255)])
    deep = COLOURS.astype(np.uint16)
    for data in (deep_png(COLOURS), deep_png(opaque), tiff(deep), tiff(deep, order=">")):
        assert np.array_equal(pixels(data), COLOURS)


@pytest.mark.parametrize("value", [0, 1, 255])
def test_16_bits_of_one_dark_colour_are_that_colour(value: int) -> None:
    ppm = b"P6\n4 4\n65535\n" + np.full(48, value, ">u2").tobytes()
    for data in (deep_png(np.full((4, 4, 3), value)), ppm):
        assert np.abs(pixels(data) - value).max() <= (data == ppm)


def test_colours_of_16_bits_are_read_in_strips_and_memory_is_set_aside_for_both_readings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = deep_png(COLOURS * 3)
    with Image.open(io.BytesIO(data)) as image:
        pixel = image.width * image.height
        assert need_of(image, image.size, in_strips=True) == 8 * pixel
        assert need_of(image, image.size, in_strips=False) == 8 * pixel
    whole = pixels(data)
    monkeypatch.setattr(colours, "_DEEP_STRIP", 500)
    assert np.array_equal(pixels(data), whole)


def test_few_of_16_bits_may_be_transparent() -> None:
    alpha = np.zeros((64, 96, 1), int)
    alpha[:, 48:] = 255
    found = pixels(deep_png(np.dstack([COLOURS, alpha]) * 16))
    assert (found[:, :48] == 255).all()
    assert np.abs(found[:, 48:] - COLOURS[:, 48:]).mean() < 20


def test_colours_that_pillow_cannot_read_are_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    planes = tiff((COLOURS * 257).astype("<u2"), planes=True)
    found = unreadable(written(tmp_path, planes))
    assert found.error == "TIFF of this kind needs pip install 'sscd-cli[tiff]'"
    assert np.array_equal(pixels(tiff(COLOURS.astype(np.uint8), planes=True)), COLOURS)


def test_dead_pixels_do_not_flatten_a_picture() -> None:
    dead = (GREY * 16).astype(np.uint16)
    dead[0, :3] = 65535
    assert np.abs(pixels(encoded(Image.fromarray(dead)))[1:, :, 0] - GREY[1:]).max() <= 1


# Transparency


def drawn_alpha(seed: int) -> Image.Image:
    alpha = Image.new("L", (64, 64))
    points = np.random.default_rng(seed).integers(0, 64, 12).tolist()
    ImageDraw.Draw(alpha).line(points, fill=255, width=5)
    return alpha


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "TGA"])
def test_white_on_transparent_is_seen_on_black(kind: str) -> None:
    logo = Image.new("RGB", (64, 64), "white")
    logo.putalpha(drawn_alpha(1))
    found = pixels(encoded(logo, kind, lossless=True) if kind == "WEBP" else encoded(logo, kind))
    assert np.array_equal(found[..., 0], np.asarray(drawn_alpha(1)))


def test_other_colours_on_transparent_stay_on_white() -> None:
    for colour in ("black", "red"):
        logo = Image.new("RGB", (64, 64), colour)
        logo.putalpha(drawn_alpha(1))
        assert (pixels(encoded(logo))[np.asarray(drawn_alpha(1)) == 0] == 255).all()


def test_a_picture_transparent_everywhere_shows_its_colours() -> None:
    texture = PICTURE.copy()
    texture.putalpha(0)
    for kind in ("PNG", "TGA"):
        assert np.array_equal(pixels(encoded(texture, kind)), COLOURS)


def test_an_opaque_white_picture_stays_white() -> None:
    white = Image.new("RGBA", (64, 64), "white")
    assert (pixels(encoded(white)) == 255).all()


def test_deep_grey_on_transparent_is_seen() -> None:
    values = np.where(np.asarray(drawn_alpha(2)) > 0, 65535, 4).astype(np.uint16)
    found = pixels(encoded(Image.fromarray(values), "PNG", transparency=4))
    assert set(np.unique(found)) == {0, 255}
