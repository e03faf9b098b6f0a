"""From bytes to an upright RGB picture, within limits, by the codec of the format."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import NamedTuple

from PIL import ExifTags, Image, UnidentifiedImageError

from sscd_cli.images.formats import (
    is_raw,
    open_raw,
    refuse_bomb,
    refuse_jxl_bomb,
    refuse_missing,
    register,
)
from sscd_cli.images.modes import to_rgb
from sscd_cli.images.noise import quiet_codecs
from sscd_cli.images.preprocess import Recipe, shrink_while_decoding

# Pillow reads more, but some of it starts other programs (EPS) or needs them. TGA has no
# signature, so it comes last.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM"),
    *("HEIF", "JXL", "QOI", "ICO", "ICNS", "DDS", "SGI", "PSD", "PCX", "TGA"),
)
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
TURNED_SIDEWAYS = (5, 6, 7, 8)


class Picture(NamedTuple):
    """An upright RGB image and the width and height that it has at full resolution."""

    image: Image.Image
    size: tuple[int, int]


def open_picture(data: bytes, exif: bool, max_pixels: int, recipe: Recipe | None) -> Picture:
    """As `open_image`, at a lower resolution where `recipe` says that this is enough."""
    if not data:
        raise ValueError("the file is empty")
    with quiet_codecs(max_pixels):
        refuse_jxl_bomb(data, max_pixels)
        if is_raw(data):
            developed = open_raw(data, max_pixels, upright=exif)
            return Picture(developed, developed.size)
        image = _identified(data)
        full = image.size
        refuse_bomb(*full, max_pixels)
        if recipe is not None and recipe.decode == "fast":
            shrink_while_decoding(image, recipe)
        shrunk = image.size != full
        image.load()
        upright = upright_rgb(image, exif=exif)
        upright.format = image.format
        if not shrunk:
            return Picture(upright, upright.size)
        sideways = exif and _orientation(image) in TURNED_SIDEWAYS
        return Picture(upright, full[::-1] if sideways else full)


def _identified(data: bytes) -> Image.Image:
    """Let Pillow tell the format. Raises: MissingFormatError: one that an extra would read."""
    try:
        return Image.open(io.BytesIO(data), formats=_formats())
    except UnidentifiedImageError:
        refuse_missing(data)
        raise


def upright_rgb(image: Image.Image, *, exif: bool = True) -> Image.Image:
    """Return a Pillow image of any mode as `open_image` returns the file it is from."""
    rgb = to_rgb(image)
    method = UPRIGHT.get(_orientation(image)) if exif else None
    return rgb if method is None else rgb.transpose(method)


@lru_cache(maxsize=1)
def _formats() -> list[str]:
    register()
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF data is no reason to lose the image
        return 1
    return orientation if isinstance(orientation, int) else 1
