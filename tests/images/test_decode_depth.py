"""Decoding: deep, signed and float values look like the 8-bit picture; transparency shows it."""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA
from decoding import encoded, pixels, unreadable, written
from drawn_pictures import draw_picture
from PIL import Image, ImageDraw
from tiffs import tiff

from sscd_cli.images.opening import upright_rgb
from sscd_cli.models.load import load_model

GREY = np.asarray(draw_picture(5).convert("L"))
GREY = ((GREY - GREY.min()) * (255 / np.ptp(GREY))).astype(np.uint8)  # of the whole range
WIDE = GREY.astype(np.int64)
NODATA = -3.4028235e38


def with_nodata(values: np.ndarray, nodata: float) -> np.ndarray:
    values = values.copy()
    values[:3, :3] = nodata
    return values


SAMPLES = {
    "signed 8 bits": (WIDE - 128).astype(np.int8),
    "signed 8 bits above zero": (WIDE // 2).astype(np.int8),
    "16 bits": (WIDE * 257).astype(np.uint16),
    "14 of 16 bits": (WIDE * 64).astype(np.uint16),
    "12 of 16 bits": (WIDE * 16).astype(np.uint16),
    "10 of 16 bits": (WIDE * 4).astype(np.uint16),
    "8 of 16 bits": WIDE.astype(np.uint16),
    "a narrow range of 16 bits": (51241 + WIDE * 3).astype(np.uint16),
    "signed 16 bits": (WIDE * 257 - 32768).astype(np.int16),
    "signed 16 bits above zero": (WIDE * 128).astype(np.int16),
    "unsigned 32 bits": (WIDE * 16843009).astype(np.uint32),
    "signed 32 bits": ((WIDE - 128) * 16777216).astype(np.int32),
    "float from 0 to 1": (GREY / 255).astype(np.float32),
    "float from 0 to 0.1": (GREY / 2550).astype(np.float32),
    "float heights": (WIDE * 3 + 200).astype(np.float32),
    "float with holes": with_nodata((WIDE * 3 + 200).astype(np.float32), NODATA),
    "float that is no number": with_nodata((WIDE * 3 + 200).astype(np.float32), np.nan),
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", SAMPLES)
def test_values_of_any_depth_look_like_the_picture_of_8_bits(name: str, order: str) -> None:
    if name == "unsigned 32 bits" and order == ">":
        pytest.skip("Pillow does not read it")
    found = pixels(tiff(SAMPLES[name], order=order))[..., 0]
    here = np.s_[3:, 3:] if "holes" in name or "no number" in name else np.s_[:]
    assert np.abs(found[here] - GREY[here]).mean() < 1.5
    assert found[:3, :3].max() <= found.max()


@pytest.mark.parametrize("factor", [257, 16])
def test_white_may_be_zero(factor: int) -> None:
    data = tiff(((255 - WIDE) * factor).astype(np.uint16), photometric=0)
    assert np.abs(pixels(data)[..., 0] - GREY).mean() < 1.5


def test_a_range_that_the_file_states_counts_where_the_values_fill_it() -> None:
    values = (WIDE * 40).astype(np.uint16)  # up to 10,200
    stated = tiff(values, extra=[(340, 3, [0]), (341, 3, [12_000])])
    assert abs(pixels(stated).max() - int(GREY.max()) * 40 * 255 / 12_000) < 1
    # what writers put there without looking
    unlooked = tiff((WIDE * 16).astype(np.uint16), extra=[(341, 3, [65_535])])
    assert np.abs(pixels(unlooked)[..., 0] - GREY).mean() < 1.5


def test_nodata_of_gdal_is_no_value() -> None:
    values = with_nodata((WIDE * 16 + 20_000).astype(np.uint16), 0)
    found = pixels(tiff(values, extra=[(42113, 2, b"0\0")]))[..., 0]
    assert np.abs(found[3:, 3:] - GREY[3:, 3:]).mean() < 1.5


def test_pngs_and_pgms_are_scaled_alike() -> None:
    for factor in (257, 16, 4, 1):
        png = encoded(Image.fromarray((WIDE * factor).astype(np.uint16)))
        assert np.abs(pixels(png)[..., 0] - GREY).mean() < 1.5
    head = b"P5\n%d %d\n4095\n" % GREY.shape[::-1]
    assert np.abs(pixels(head + (WIDE * 16).astype(">u2").tobytes())[..., 0] - GREY).mean() < 1.5


def test_a_hot_pixel_does_not_darken_the_rest() -> None:
    values = (WIDE * 16).astype(np.uint16)
    values[0, 0] = 65535
    assert np.abs(pixels(tiff(values))[..., 0] - GREY).mean() < 1.5


def test_masks_are_not_black() -> None:
    mask = (GREY > 128).astype(np.uint16)
    assert set(np.unique(pixels(encoded(Image.fromarray(mask))))) == {0, 255}


def test_scrambled_pixels_are_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    colours = np.asarray(draw_picture(5)).astype(np.uint16) * 257
    assert np.array_equal(pixels(tiff(colours)), colours // 257)
    found = unreadable(written(tmp_path, tiff(colours, planes=True)))
    assert found.error == "TIFF of this kind needs pip install 'sscd-cli[tiff]'"


def test_different_photographs_of_few_bits_are_no_copies() -> None:
    model = load_model(device="cpu", precision="fp32")
    names = ("alps", "leaf", "reef", "clock", "agate")
    grey = [np.asarray(Image.open(DATA / "gallery" / f"{n}.jpg").convert("L")) for n in names]
    true = model.embed([Image.fromarray(values) for values in grey])
    for factor, offset in ((1, 0), (3, 51241), (4, 0), (16, 0), (257, 0)):
        deep = [Image.fromarray(v.astype(np.uint16) * factor + offset) for v in grey]
        files = [pixels(encoded(image)).astype(np.uint8) for image in deep]
        for rows in (model.embed(deep), model.embed(files)):
            assert np.min(np.sum(rows * true, 1)) >= 0.97
            assert max(float(rows[i] @ rows[j]) for i, j in combinations(range(5), 2)) < 0.5


# Transparency


def lines(number: int) -> Image.Image:
    drawn = Image.new("L", (96, 96))
    rng = np.random.default_rng(number)
    for _ in range(6):
        ImageDraw.Draw(drawn).line([int(x) for x in rng.integers(0, 96, 6)], fill=255, width=5)
    return drawn


def seen(colour: str | Image.Image, alpha: Image.Image | int) -> np.ndarray:
    image = Image.new("RGB", (96, 96), colour) if isinstance(colour, str) else colour.copy()
    image.putalpha(alpha)
    return np.asarray(upright_rgb(image))


def test_white_on_transparent_lies_on_black() -> None:
    for colour in ("white", "#fcfcfc"):
        found = seen(colour, lines(1))
        assert np.abs(found[..., 0].astype(int) - np.asarray(lines(1))).max() <= 4
    assert not np.array_equal(seen("white", lines(1)), seen("white", lines(2)))


def test_dark_on_transparent_lies_on_white() -> None:
    assert np.array_equal(seen("black", lines(1))[..., 0], 255 - np.asarray(lines(1)))


def test_what_is_wholly_transparent_keeps_its_colours() -> None:
    picture = draw_picture(3, 96, 96)
    assert np.array_equal(seen(picture, 0), np.asarray(picture))
    assert (seen("red", 0) == 255).all()  # nothing is seen on any ground: white, as ever


def test_opaque_pictures_of_one_colour_stay_as_they_are() -> None:
    assert (seen("white", 255) == 255).all()
    assert (seen("black", 255) == 0).all()
