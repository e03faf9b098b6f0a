"""Pillow images of any mode as RGB: depth, sign and transparency."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image


def to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return _grey_to_rgb(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _grey_to_rgb(image: Image.Image) -> Image.Image:
    """Scale a grey image of 16-bit, 32-bit or float values to 8 bits a channel."""
    values = np.asarray(image)
    if values.dtype.itemsize == 2:
        grey = (values >> 8).astype(np.uint8)  # as Pillow does with 16-bit colours
    else:
        real = image.mode == "F"
        grey = _scaled(values.astype(np.float64), real=real).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey).convert("RGB")


def _scaled(values: npt.NDArray[np.float64], *, real: bool) -> npt.NDArray[np.float64]:
    """Bring grey values to 0..255.

    Real values within 0..1 are multiplied by 255, whole ones within 0..65535 are taken for 16
    bits unless they fit into 8; what lies outside 0..255 is stretched from least to greatest.
    Values that are not finite count as 0.
    """
    values = np.where(np.isfinite(values), values, 0)
    low, high = float(values.min()), float(values.max())
    if real and low >= 0 and high <= 1:
        values *= 255
    elif not real and low >= 0 and 255 < high <= 65535:
        values /= 257
    elif low < 0 or high > 255:
        values = (values - low) * (255 / ((high - low) or 1))
    return np.rint(values)
