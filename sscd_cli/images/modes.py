"""From a decoded image of any mode to RGB: deep values scaled, transparency laid over a ground."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal

import numpy as np
from PIL import Image

from sscd_cli.images.samples import STRIP_PIXELS, Levels, is_deep, strips_of

Convert = Callable[[Image.Image], Image.Image]
Ground = Literal["white", "black"] | None

_FLAT = 12  # grey levels: the noise of a lossy file


def conversion(image: Image.Image) -> Convert:
    """Return what turns an image into RGB, or any strip of it, by what the whole holds.

    Transparent pixels lie over white; over black where nothing would be seen on white; and where
    nothing would be seen on that either, transparency is left out.
    """
    grey = Levels.of(image).grey if is_deep(image) else _as_it_is
    if not image.has_transparency_data:
        return lambda strip: _opaque(grey(strip))
    ground = _ground(image, grey)
    over = partial(_over, ground) if ground else _opaque
    return lambda strip: over(grey(strip))


def plain_rgb(image: Image.Image) -> Image.Image:
    """Return an image as RGB and nothing else: of metadata that it held nothing is left."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return bare(image)
    return shrunk_rgb(image, (1, 1))


def shrunk_rgb(image: Image.Image, boxes: tuple[int, int]) -> Image.Image:
    """Return an image as `plain_rgb` does, each box of pixels averaged to one.

    Made in strips, so that a large image takes little more than what it was decoded to.
    """
    across, down = boxes
    width, height = image.size
    convert = conversion(image)
    small = Image.new("RGB", (-(-width // across), -(-height // down)))
    rows = max(1, STRIP_PIXELS // (width * down)) * down
    for top in range(0, height, rows):
        whole = rows >= height
        strip = image if whole else image.crop((0, top, width, min(top + rows, height)))
        rgb = convert(strip)
        small.paste(rgb if boxes == (1, 1) else rgb.reduce(boxes), (0, top // down))
    return small


def bare(image: Image.Image) -> Image.Image:
    """Return the pixels of an RGB image in one that knows no more of the file."""
    plain = image._new(image.im)
    plain.info = {}
    return plain


def _as_it_is(image: Image.Image) -> Image.Image:
    return image


def _ground(image: Image.Image, grey: Convert) -> Ground:
    """Return on which ground anything is to be seen; white where nothing ever is."""
    for ground in ("white", "black", None):
        way = partial(_over, ground) if ground else _opaque
        if not _is_flat(way(grey(strip)) for strip in strips_of(image)):
            return ground
    return "white"


def _is_flat(strips: Iterable[Image.Image]) -> bool:
    """Whether RGB strips are all of one colour, but for a little noise."""
    bands = [strip.getextrema() for strip in strips]
    low = np.min(bands, axis=0)[:, 0]
    high = np.max(bands, axis=0)[:, 1]
    return bool((high - low <= _FLAT).all())


def _rgba(image: Image.Image) -> Image.Image:
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def _over(ground: Literal["white", "black"], image: Image.Image) -> Image.Image:
    rgba = _rgba(image)
    return Image.alpha_composite(Image.new("RGBA", image.size, ground), rgba).convert("RGB")


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    return (_rgba(image) if image.has_transparency_data else image).convert("RGB")
