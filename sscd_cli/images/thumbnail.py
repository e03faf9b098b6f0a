"""Small pictures of images, for people to look at."""

from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from sscd_cli.images.decode import load_picture
from sscd_cli.images.preprocess import SPARE, Recipe
from sscd_cli.images.refs import ImageRef

_QUALITY = 80
cv2.setNumThreads(1)  # its threads would stand in the way of those that make several


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
    image = load_picture(ref, recipe=_Longest("thumbnail", side, False, decode="fast")).image
    size = _within(side, *image.size)
    if size != image.size:
        # where no pixel is passed over, two by two are enough, at a quarter of the time
        means = cv2.INTER_AREA if max(image.size) > 2 * side else cv2.INTER_LINEAR
        image = Image.fromarray(cv2.resize(np.asarray(image), size, interpolation=means))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def _within(side: int, width: int, height: int) -> tuple[int, int]:
    scale = min(1, side / max(width, height))
    return max(1, round(scale * width)), max(1, round(scale * height))
