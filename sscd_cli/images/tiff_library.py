"""TIFF files that Pillow does not read, or reads wrongly, by the extra `tiff` (tifffile).

Of many bands, of real numbers, big-endian BigTIFF, colours in planes, rare compressions.
"""

from __future__ import annotations

import io
import logging
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sscd_cli.images.budget import DECODING
from sscd_cli.images.formats import MissingFormatError, refuse_bomb
from sscd_cli.images.modes import plain_rgb
from sscd_cli.images.reasons import RefusedError
from sscd_cli.images.samples import Samples, eight_bits
from sscd_cli.images.tiff_directory import BITS, PLANES, SEPARATE, is_cut
from sscd_cli.machines.hardware import lacking

ORIENTATION, NODATA = 274, "GDAL_NODATA"
_MODES = {
    "RGB": ("RGB", 3),
    "SEPARATED": ("CMYK", 4),
    "MINISBLACK": ("L", 1),
    "MINISWHITE": ("L", 1),
}
_NEVER = 1 << 16  # bands
_CONVERSION = 16  # bytes for each value, beside those of the file

logging.getLogger("tifffile").addHandler(logging.NullHandler())


def refuse_scrambled(image: Image.Image) -> None:
    """Raise RefusedError for a TIFF file, opened, of which Pillow makes other pixels."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(BITS, 8)
    if tags.get(PLANES) == SEPARATE and isinstance(bits, tuple) and len(bits) > 1 and max(bits) > 8:
        raise RefusedError("TIFF of 16-bit colours in separate planes")


def open_tiff(
    data: bytes, max_pixels: int, error: Exception, number: int = 0
) -> tuple[Image.Image, int, int]:
    """Return a page as RGB, how it has to be turned by EXIF's numbers, and the pages.

    Args: error: what Pillow raised.
    Raises: `error`: the file is damaged. MissingFormatError: a sound file, and no tifffile.
        RefusedError: truncated, or of a kind that tifffile does not read.
        Image.DecompressionBombError: above `max_pixels`.
    """
    try:
        if is_cut(data):
            raise RefusedError("truncated TIFF")
    except struct.error:
        raise error from None
    try:
        import tifffile
    except ImportError:
        raise MissingFormatError("TIFF of this kind", "tiff") from error
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page: Any = file.pages[number]
            orientation = page.tags.valueof(ORIENTATION, 1)
            return _rgb(page, max_pixels), int(orientation), len(file.pages)
    except (RefusedError, Image.DecompressionBombError):
        raise
    except Exception as failure:
        if lacking(failure):
            raise
        raise error from failure


def _rgb(page: Any, max_pixels: int) -> Image.Image:
    refuse_bomb(page.imagewidth, page.imagelength, max_pixels)
    count = page.imagewidth * page.imagelength * page.samplesperpixel
    with DECODING.taken(page.nbytes + count * _CONVERSION, max_pixels):
        mode, bands = _MODES.get(page.photometric.name, ("", _NEVER))
        if page.photometric.name == "MINISBLACK" and page.samplesperpixel >= 3:
            mode, bands = "RGB", 3  # the first three of many
        values = _last_axis(page.asarray(maxworkers=1), page.axes)
        if values.dtype.kind not in "uif" or values.shape[2] < bands:
            raise RefusedError("TIFF of a kind that is not read")
        grey = eight_bits(values[..., :bands], _samples(page))
        return plain_rgb(Image.fromarray(grey.squeeze(), mode))


def _last_axis(values: npt.NDArray[Any], axes: str) -> npt.NDArray[Any]:
    """Return an array (H, W, C). Raises: RefusedError: it has other axes."""
    if axes == "YX":
        return values[..., None]
    if axes not in ("YXS", "SYX"):
        raise RefusedError("TIFF of a kind that is not read")
    return values if axes == "YXS" else np.moveaxis(values, 0, 2)


def _samples(page: Any) -> Samples:
    nodata = page.nodata if NODATA in page.tags else None
    inverted = page.photometric.name == "MINISWHITE"
    return Samples(inverted=inverted, nodata=None if nodata is None else float(nodata))
