"""From RGB pixels to the size that a network sees, as a recipe says.

They come as a Pillow image or as an array, whichever the decoder made, so that none is copied.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sscd_cli.images.preprocess import FILTERS, Box, Recipe, boxes_of

cv2.setNumThreads(1)  # its threads would stand in the way of those that embed

Pixels = Image.Image | NDArray[np.uint8]  # RGB, arrays of shape (H, W, 3)


def size_of(image: Pixels) -> tuple[int, int]:
    """Return the width and height of an image or array."""
    return image.size if isinstance(image, Image.Image) else (image.shape[1], image.shape[0])


def resize(
    image: Pixels,
    recipe: Recipe,
    original: tuple[int, int] | None = None,
    shown: Box | None = None,
) -> NDArray[np.uint8]:
    """Return RGB pixels in the size of `recipe`, antialiased, uint8 (H, W, 3).

    Args: original: width and height of the picture if `image` was decoded at less than that.
    shown: where it lies in `image` then, whose last pixels show less of it than the others.
    Source: torchvision `transforms.Resize` for PIL images (`Resize(288)`, `Resize((320, 320))`).
    """
    size = recipe.size_of(*(original or size_of(image)))
    box = shown or (0, 0, *size_of(image))
    if recipe.decode == "fast":
        image, box = _averaged(image, size, box)
        if recipe.resample == "bilinear" and box == (0, 0, *size_of(image)):
            return _sampled(np.asarray(image), size)
    return np.asarray(as_image(image).resize(size, FILTERS[recipe.resample], box))


def as_image(pixels: Pixels) -> Image.Image:
    """Return pixels as a Pillow image."""
    return pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)


def _averaged(image: Pixels, size: tuple[int, int], shown: Box) -> tuple[Pixels, Box]:
    """Average whole blocks of pixels, to no less than `SPARE` times the size that is wanted."""
    across, down = boxes_of(size_of(image), size)
    if (across, down) == (1, 1):
        return image, shown
    left, top, right, bottom = shown
    box = left / across, top / down, right / across, bottom / down
    return as_image(image).reduce((across, down)), box


def _sampled(pixels_HW3: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return what Pillow's antialiased bilinear filter does, in less than half of its time.

    Its triangle, as wide as a new pixel and its neighbours, taken at whole pixels and then along
    straight lines between these is the same triangle, but for its foot and the picture's edge.
    """
    have = size_of(pixels_HW3)
    across, down = (_triangle(old / new) for old, new in zip(have, size, strict=True))
    blurred: NDArray[Any] = pixels_HW3
    if len(across) > 1 or len(down) > 1:
        blurred = cv2.sepFilter2D(blurred, -1, across, down, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(blurred, size, interpolation=cv2.INTER_LINEAR))


@lru_cache(maxsize=256)
def _triangle(reach: float) -> NDArray[np.float64]:
    """Return the weights of the pixels around one, to less than `reach` from it."""
    most = max(0, math.ceil(reach) - 1)
    weights = 1 - np.abs(np.arange(-most, most + 1)) / max(1, reach)
    return np.asarray(weights / weights.sum())


def grey_cells(pixels_HW3: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Return the mean grey value of each cell of a grid over a picture, float32 (side, side)."""
    cells = cv2.resize(pixels_HW3.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(cells, cv2.COLOR_RGB2GRAY))
