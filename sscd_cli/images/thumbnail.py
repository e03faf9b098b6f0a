"""Small pictures of images, for people to look at."""

from __future__ import annotations

import io
import math

from PIL import Image

from sscd_cli.images.decode import load_image
from sscd_cli.images.preprocess import SPARE, Recipe
from sscd_cli.images.refs import ImageRef

_QUALITY = 80


def thumbnail(ref: ImageRef, side: int) -> bytes:
    """Return an image upright as a JPEG file, its longer edge `side` pixels at most.

    WebP would save a quarter of the bytes and take ten times as long.
    Raises: SscdError: the image cannot be read.
    """
    # a fast recipe decodes at no less than so many times its size
    recipe = Recipe("thumbnail", math.ceil(side / SPARE), square=False, decode="fast")
    image = load_image(ref, recipe=recipe)
    # bicubic, the default, takes twice the time
    image.thumbnail((side, side), Image.Resampling.BILINEAR)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()
