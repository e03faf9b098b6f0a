"""Colours of 16 bits: Pillow reads the upper 8 of them, which say little of a dark picture."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.ImageFile import ImageFile

from sscd_cli.images.samples import Samples, strips_of, written_in

_BRIGHT = 65  # of 256: more than a fourth of the range is used
_STRIP = 1 << 18  # pixels, each some 80 bytes on its way
_SWAPPED = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B" if sys.byteorder == "little" else ";16L"}

Values = npt.NDArray[np.float32]


def has_deep_colours(image: Image.Image) -> bool:
    """Whether an open image, not yet loaded, has colours of 16 bits."""
    tiles = image.tile if isinstance(image, ImageFile) else []
    said = [tile.args if isinstance(tile.args, tuple) else (tile.args,) for tile in tiles]
    return image.mode in ("RGB", "RGBA", "RGBX") and any(
        ";16" in str(args[0]) or args[-1] == 65535 for args in said if args
    )


def is_dark(image: Image.Image) -> bool:
    """Whether a loaded image with deep colours uses little of their range."""
    return max(high for _, high in _extrema(image)[:3]) < _BRIGHT


def _extrema(image: Image.Image) -> list[tuple[int, int]]:
    return [(int(low), int(high)) for low, high in np.reshape(image.getextrema(), (-1, 2))]


def stretched(upper: Image.Image, again: ImageFile) -> Image.Image:
    """Return a dark image with all of its bits, brought to the range that they are written in.

    So 12 bits in a file of 16 do not become 16 grey levels, nor 8 of them black.
    Args: upper: loaded; it is overwritten. again: the same file, opened but not loaded.
    """
    weights = _read_lower(again, max(high for _, high in _extrema(upper)))
    ends = [(v.min((0, 1)), v.max((0, 1))) for v in _strips(upper, again, weights)]
    low, high = np.min(ends, axis=0)[0], np.max(ends, axis=0)[1]
    if weights[1] > 1:  # the most may have been rounded up
        high -= weights[1] / 2
    colours = written_in(float(low[:3].min()), float(high[:3].max()), Samples(), real=False)
    alpha = [written_in(0, float(most), Samples(), real=False) for most in high[3:]]
    black, white = np.array([colours] * 3 + alpha, np.float32).T
    top = 0
    for values in _strips(upper, again, weights):
        levels = np.rint(((values - black) * (255 / (white - black))).clip(0, 255))
        bands = levels.astype(np.uint8).transpose(2, 0, 1)
        strip = Image.merge(upper.mode, [Image.fromarray(band) for band in bands])
        upper.paste(strip, (0, top))
        top += strip.height
    return upper


def _read_lower(again: ImageFile, top: int) -> tuple[float, float]:
    """Load the lower 8 bits; return by what to multiply upper and lower ones to get all."""
    lower = []
    weights = 256.0, 1.0
    for tile in again.tile:
        first, *rest = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if rest and rest[-1] == 65535:  # PPM, whose decoder scales to a value that counts as white
            rest[-1] = (top + 1) * 257
            weights = 0.0, rest[-1] / 255
        else:
            ends = str(first)[-4:]
            first = str(first).replace(ends, _SWAPPED[ends])
        lower.append(tile._replace(args=(first, *rest) if rest else first))
    again.tile = lower
    again.load()
    return weights


def _strips(
    upper: Image.Image, lower: Image.Image, weights: tuple[float, float]
) -> Iterator[Values]:
    """Yield values of 16 bits, float32 (h, W, 3 or 4), from the top."""
    for one, other in zip(strips_of(upper, _STRIP), strips_of(lower, _STRIP), strict=True):
        values: Values = np.asarray(one, np.float32) * weights[0]
        yield values + np.asarray(other, np.float32) * weights[1]
