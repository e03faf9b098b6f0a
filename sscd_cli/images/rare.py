"""Files that Pillow refuses: PFM in colour, deep PSD, and JPEG beyond 8 bits a value.

The latter by the extra `tiff` (imagecodecs): 12 bits, lossless, JPEG-LS. Source of PFM: Debevec.
"""

from __future__ import annotations

import re
import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from sscd_cli.images.colours import VALUE_NEED, Samples, eight_bits, plain_rgb
from sscd_cli.images.guards import DECODING, refuse_bomb
from sscd_cli.images.psd import open_psd
from sscd_cli.images.reasons import MissingFormatError, RefusedError
from sscd_cli.images.signatures import starts_as

_PFM = re.compile(rb"PF\s+(\d{1,9})\s+(\d{1,9})\s+([-+.\deE]{1,30})\s")
# the frames of JPEG that are read: their markers, bits a value, name, and decoder of imagecodecs
_FRAMES = (
    (range(0xC0, 0xC3), range(12, 13), "JPEG of 12 bits", "jpeg8_decode"),
    (range(0xC3, 0xC4), range(2, 17), "lossless JPEG", "ljpeg_decode"),
    (range(0xF7, 0xF8), range(2, 17), "JPEG-LS", "jpegls_decode"),
)
_FRAME_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_SCAN = 0xDA
_USUAL_FRAME, _USUAL_BITS = b"\xc0", b"\x08"


class Rare(NamedTuple):
    """A picture as RGB, and its format's name; head: the same of a kind that Pillow opens."""

    image: Image.Image
    format: str
    head: bytes = b""


def open_rare(data: bytes, max_pixels: int) -> Rare | None:
    """Return the picture; None of a file of no such kind.

    Raises: MissingFormatError: the extra is not installed. RefusedError: damaged, or truncated.
        Image.DecompressionBombError: above `max_pixels`.
    """
    if pfm := _PFM.match(data):
        return Rare(_pfm(data, pfm, max_pixels), "PPM")  # as Pillow calls a grey one
    if starts_as("PSD", data):
        return Rare(open_psd(data, max_pixels), "PSD")
    at = _frame(data)
    for markers, bits, kind, decoder in _FRAMES if at else ():
        if data[at + 1] in markers and data[at + 4] in bits:
            head = data[: at + 1] + _USUAL_FRAME + data[at + 2 : at + 4] + _USUAL_BITS
            image = _jpeg(data, at, max_pixels, kind, decoder)
            return Rare(image, "JPEG", head + data[at + 5 :])
    return None


def _frame(data: bytes) -> int:
    """Return where the frame header of a JPEG file begins, 0 if it has none."""
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF and data[at + 1] != _SCAN:
        if data[at + 1] in _FRAME_MARKERS:
            return at
        at += 1 if data[at + 1] == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4])
    return 0


def _pfm(data: bytes, header: re.Match[bytes], max_pixels: int) -> Image.Image:
    width, height = int(header[1]), int(header[2])
    refuse_bomb(width, height, max_pixels)
    count = width * height * 3
    if not count or len(data) - header.end() < 4 * count:
        raise RefusedError("truncated PNM")
    order = "<" if header[3].startswith(b"-") else ">"
    with DECODING.taken(count * VALUE_NEED, max_pixels):
        values = np.frombuffer(data, f"{order}f4", count, header.end())
        return _rgb(values.reshape(height, width, 3)[::-1], Samples())  # from the bottom up


def _jpeg(data: bytes, at: int, max_pixels: int, kind: str, decoder: str) -> Image.Image:
    bits, height, width = struct.unpack_from(">BHH", data, at + 4)
    refuse_bomb(width, height, max_pixels)
    try:
        import imagecodecs
    except ImportError as error:
        raise MissingFormatError(kind, "tiff") from error
    with DECODING.taken(width * height * 3 * VALUE_NEED, max_pixels):
        try:
            values = getattr(imagecodecs, decoder)(data)
        except RuntimeError as error:
            raise RefusedError(f"damaged {kind}") from error
        return _rgb(values, Samples(low=0, high=4095) if bits == 12 else Samples())


def _rgb(values: npt.NDArray[Any], samples: Samples) -> Image.Image:
    if values.ndim != 2 and values.shape[2:] not in ((1,), (3,)):
        raise RefusedError("JPEG of a kind that is not read")
    return plain_rgb(Image.fromarray(eight_bits(values, samples).squeeze()))
