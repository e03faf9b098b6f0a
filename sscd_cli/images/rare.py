"""Files that Pillow refuses and others read: PFM in colour, and JPEG beyond 8 bits a value.

The latter by the extra `tiff` (imagecodecs): 12 bits, lossless, JPEG-LS. Source of PFM: Debevec.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sscd_cli.images.colours import Samples, eight_bits, plain_rgb
from sscd_cli.images.guards import DECODING, refuse_bomb
from sscd_cli.images.reasons import MissingFormatError, RefusedError

_PFM = re.compile(rb"PF\s+(\d{1,9})\s+(\d{1,9})\s+([-+.\deE]{1,30})\s")
# how each begins, its name, and the decoder of imagecodecs; the groups: bits, height, width
_JPEG = tuple(
    (re.compile(rb"\xff\xd8.{,65536}?\xff" + frame + rb"(..)(..)", re.DOTALL), kind, decoder)
    for frame, kind, decoder in (
        (rb"[\xc0-\xc2]..(\x0c)", "JPEG of 12 bits", "jpeg8_decode"),
        (rb"\xc3..([\x02-\x10])", "lossless JPEG", "ljpeg_decode"),
        (rb"\xf7..([\x02-\x10])", "JPEG-LS", "jpegls_decode"),
    )
)
_CONVERSION = 16  # bytes for each value


def open_rare(data: bytes, max_pixels: int) -> tuple[Image.Image, str] | None:
    """Return the picture as RGB and its format's name; None of a file of no such kind.

    Raises: MissingFormatError: the extra is not installed. RefusedError: damaged, or truncated.
        Image.DecompressionBombError: above `max_pixels`.
    """
    if pfm := _PFM.match(data):
        return _pfm(data, pfm, max_pixels), "PPM"  # as Pillow calls a grey one
    for start, kind, decoder in _JPEG:
        if header := start.match(data):
            return _jpeg(data, header, max_pixels, kind, decoder), "JPEG"
    return None


def _pfm(data: bytes, header: re.Match[bytes], max_pixels: int) -> Image.Image:
    width, height = int(header[1]), int(header[2])
    refuse_bomb(width, height, max_pixels)
    count = width * height * 3
    if not count or len(data) - header.end() < 4 * count:
        raise RefusedError("truncated PNM")
    order = "<" if header[3].startswith(b"-") else ">"
    with DECODING.taken(count * _CONVERSION, max_pixels):
        values = np.frombuffer(data, f"{order}f4", count, header.end())
        return _rgb(values.reshape(height, width, 3)[::-1], Samples())  # from the bottom up


def _jpeg(
    data: bytes, header: re.Match[bytes], max_pixels: int, kind: str, decoder: str
) -> Image.Image:
    bits, height, width = (int.from_bytes(value, "big") for value in header.groups())
    refuse_bomb(width, height, max_pixels)
    try:
        import imagecodecs
    except ImportError as error:
        raise MissingFormatError(kind, "tiff") from error
    with DECODING.taken(width * height * 3 * _CONVERSION, max_pixels):
        try:
            values = getattr(imagecodecs, decoder)(data)
        except RuntimeError as error:
            raise RefusedError(f"damaged {kind}") from error
        return _rgb(values, Samples(low=0, high=4095) if bits == 12 else Samples())


def _rgb(values: npt.NDArray[Any], samples: Samples) -> Image.Image:
    if values.ndim != 2 and values.shape[2:] not in ((1,), (3,)):
        raise RefusedError("JPEG of a kind that is not read")
    return plain_rgb(Image.fromarray(eight_bits(values, samples).squeeze()))
