"""That a JPEG file was on the way to pixels is seen in them, whatever holds them now."""

from __future__ import annotations

import io

import numpy as np
import pytest
from conftest import DATA
from PIL import Image, ImageEnhance

from sscd_cli.advice.pixels.grid import holds_grid


def coded(image: Image.Image, format: str, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, format, quality=quality)
    with Image.open(stream) as read:
        return read.convert("RGB")


@pytest.fixture
def clean() -> Image.Image:
    """Return a photograph that was made smaller, with which its grid is gone."""
    with Image.open(DATA / "gallery" / "harbour.jpg") as image:
        size = round(image.width * 0.7), round(image.height * 0.7)
        return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)


@pytest.mark.parametrize("quality", [80, 92])
def test_the_grid_of_a_jpeg_file_is_seen_after_tones_and_webp(
    clean: Image.Image, quality: int
) -> None:
    jpeg = coded(clean, "JPEG", quality)
    assert holds_grid(np.asarray(jpeg))
    assert holds_grid(np.asarray(ImageEnhance.Brightness(jpeg).enhance(0.8)))
    assert holds_grid(np.asarray(coded(jpeg, "WEBP", 95)))


def test_no_grid_is_seen_where_there_was_none(clean: Image.Image) -> None:
    assert not holds_grid(np.asarray(clean))
    assert not holds_grid(np.asarray(coded(clean, "WEBP", 90)))
    assert not holds_grid(np.asarray(coded(clean, "JPEG", 90))[3:, 5:])
    assert not holds_grid(np.zeros((300, 300, 3), np.uint8))
    assert not holds_grid(np.zeros((5, 9, 3), np.uint8))
