"""Small pictures of images, for people to look at."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg

from sscd_cli.images.decode import load_picture
from sscd_cli.images.preprocess import SPARE, Recipe
from sscd_cli.images.refs import ImageRef
from sscd_cli.images.resize import size_of

_QUALITY = 80


@dataclass(frozen=True)
class _Longest(Recipe):
    """Decodes fast, to a longer edge of `size` pixels or more."""

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """Return the size whose `SPARE`-fold is just as large."""
        across, down = _within(self.size, width, height)
        return round(across / SPARE), round(down / SPARE)


def thumbnail(ref: ImageRef, side: int) -> bytes:
    """Return an image upright as a JPEG file, its longer edge `side` pixels at most.

    WebP would save a quarter of the bytes and take ten times as long; previews within the files of
    cameras are smaller than this, and not always of what the file shows.
    Raises: SscdError: the image cannot be read.
    """
    picture = load_picture(ref, recipe=_Longest("thumbnail", side, False, decode="fast"))
    have = size_of(picture.upright)
    size = _within(side, *have)
    pixels = picture.pixels()
    if size != have:
        # where no pixel is passed over, two by two are enough, at a quarter of the time
        means = cv2.INTER_AREA if max(have) > 2 * side else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=means))
    drawn: bytes = simplejpeg.encode_jpeg(pixels, quality=_QUALITY, colorsubsampling="420")
    return drawn


def _within(side: int, width: int, height: int) -> tuple[int, int]:
    scale = min(1, side / max(width, height))
    return max(1, round(scale * width)), max(1, round(scale * height))
