"""How much of a picture is canvas: a border of one colour, or corners left by turning."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from conftest import DATA
from PIL import Image, ImageOps

from sscd_cli.advice.pixels.canvas import canvas_of


def gallery_image(name: str) -> Image.Image:
    with Image.open(DATA / "gallery" / f"{name}.jpg") as image:
        return image.convert("RGB").resize((300, 300))


def canvas(image: Image.Image) -> tuple[float, int]:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    small = Image.open(stream).resize((128, 128), Image.Resampling.NEAREST)
    return canvas_of(np.asarray(small))


@pytest.mark.parametrize("degrees", [15, 25, 40, -25])
@pytest.mark.parametrize("name", ["harbour", "leaf", "reef"])
def test_corners_of_a_picture_that_was_turned_on_a_larger_canvas_are_canvas(
    name: str, degrees: int
) -> None:
    picture = gallery_image(name)
    turn = math.radians(abs(degrees))
    share = 1 - 1 / (math.sin(turn) + math.cos(turn)) ** 2
    found, corners = canvas(picture.rotate(degrees, Image.Resampling.BICUBIC, expand=True))
    assert corners >= 3  # what shows them to be no drawing
    assert 0.7 * share < found < share + 0.05


@pytest.mark.parametrize("border", [(0, 40), (40, 0), (20, 20), (6, 1), (1, 6), (8, 3)])
def test_a_border_is_canvas_without_turned_corners(border: tuple[int, int]) -> None:
    picture = gallery_image("harbour")
    bordered = ImageOps.expand(picture, border, "black")
    assert canvas(bordered)[1] == 0
