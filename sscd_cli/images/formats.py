"""Image formats beyond Pillow's own, each by an extra: HEIC, JPEG XL, raw files of cameras, PDF.

And PNG files of sound pixels that Pillow refuses.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from threading import Lock
from typing import Any

from PIL import Image

from sscd_cli.images.colours import PHOTOMETRIC
from sscd_cli.images.guards import DECODING, RAW_PIXEL, refuse_bomb
from sscd_cli.images.reasons import MissingFormatError, RefusedError
from sscd_cli.images.signatures import PNG, starts_as
from sscd_cli.images.tiff import (
    COLOUR_FILTER_ARRAY,
    DNG_VERSION,
    NEW_SUBFILE_TYPE,
    SUB_IFDS,
    first_tags,
    is_cut,
)

_JXL_HEADER = 16  # bytes of its codestream that tell size and orientation
JXL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def register() -> None:
    """Make Pillow know HEIC and JPEG XL as far as their packages are installed."""
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    with suppress(ImportError):
        import pillow_jxl  # noqa: F401  # registers itself


def refuse_missing(data: bytes) -> None:
    """Raise MissingFormatError for an image that Pillow does not know, if an extra would."""
    for kind, plugin in (("HEIC", "HEIF"), ("JPEG XL", "JXL")):
        if starts_as(kind, data) and plugin not in Image.OPEN:
            raise MissingFormatError(kind, plugin.lower())


def is_raw(data: bytes) -> bool:
    """Whether a file holds what a camera's sensor saw; Pillow would read its preview, if any."""
    if starts_as("raw file", data):
        return True
    tags = first_tags(data)
    reduced_first = tags.get(NEW_SUBFILE_TYPE) == 1 and SUB_IFDS in tags
    return reduced_first or DNG_VERSION in tags or tags.get(PHOTOMETRIC) == COLOUR_FILTER_ARRAY


def refuse_cut_raw(data: bytes) -> None:
    """Raise RefusedError for a raw file in TIFF's form whose pixels are not in it.

    LibRaw makes a picture of whatever lies in memory then, another one in every run.
    """
    body = b"II*\0" + data[4:] if data.startswith(b"IIU\0") else data  # Panasonic's own signature
    with suppress(struct.error):
        if is_cut(body):
            raise RefusedError("truncated raw file")


def open_raw(data: bytes, max_pixels: int, *, upright: bool) -> Image.Image:
    """Develop a raw file as its camera would: its white balance, sRGB, 8 bits.

    Raises: MissingFormatError: rawpy is not installed. Image.DecompressionBombError: above
        `max_pixels`. RefusedError: damaged.
    """
    refuse_cut_raw(data)
    try:
        import rawpy
    except ImportError:
        raise MissingFormatError("a raw file", "raw") from None
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            width, height = raw.sizes.raw_width, raw.sizes.raw_height
            refuse_bomb(raw.sizes.width, raw.sizes.height, max_pixels)
            flip = None if upright else 0
            with DECODING.taken(RAW_PIXEL * width * height, max_pixels):
                pixels_HWC = raw.postprocess(use_camera_wb=True, output_bps=8, user_flip=flip)
    except rawpy.LibRawError as error:  # "Input/output error" of a file that is cut
        what = "truncated" if isinstance(error, rawpy.LibRawIOError) else "damaged"
        raise RefusedError(f"{what} raw file") from None
    image = Image.fromarray(pixels_HWC)
    image.format = "RAW"
    return image


def refuse_jxl_bomb(data: bytes, max_pixels: int) -> None:
    """Look at the size of a JPEG XL file before its plugin decodes it, as that does at once.

    Source: ISO/IEC 18181-1, SizeHeader; 18181-2, boxes.
    """
    refuse_bomb(*_jxl_size(_Bits.of(data)), max_pixels)


def jxl_orientation(data: bytes) -> int:
    """Return by EXIF's numbers how the codestream of a JPEG XL file says that it lies.

    Source: ISO/IEC 18181-1, ImageMetadata.
    """
    bits = _Bits.of(data)
    _jxl_size(bits)
    is_default, has_more = bits.take(1), bits.take(1)
    return 1 + bits.take(3) if has_more and not is_default else 1


def _jxl_size(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)
    height = _jxl_side(bits, small)
    ratio = bits.take(3)
    if ratio:
        numerator, denominator = JXL_RATIOS[ratio - 1]
        return height * numerator // denominator, height
    return _jxl_side(bits, small), height


class _Bits:
    """Bits of a number, the lowest first."""

    def __init__(self, number: int) -> None:
        self._number = number

    @classmethod
    def of(cls, data: bytes) -> _Bits:
        """Return what follows the signature of a JPEG XL file's codestream."""
        return cls(int.from_bytes(_codestream(data)[2:], "little"))

    def take(self, count: int) -> int:
        value = self._number & ((1 << count) - 1)
        self._number >>= count
        return value


def _jxl_side(bits: _Bits, small: int) -> int:
    if small:
        return 8 * (bits.take(5) + 1)
    return 1 + bits.take((9, 13, 18, 30)[bits.take(2)])


def _codestream(data: bytes) -> bytes:
    """Return how the codestream of a file begins, which may lie in pieces in a row of boxes."""
    if data.startswith(b"\xff\x0a"):
        return data[:_JXL_HEADER]
    at, found = 0, b""
    while at + 8 <= len(data) and len(found) < _JXL_HEADER:
        size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        header = 16 if size == 1 else 8
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16])
        end = at + size if size else len(data)
        if kind in (b"jxlc", b"jxlp"):
            start = at + header + (4 if kind == b"jxlp" else 0)
            found += data[start : min(end, start + _JXL_HEADER)]
        if end < at + header:
            break
        at = end
    return found


_START = re.compile(rb"(\xef\xbb\xbf)?\s*%PDF-")
_END, _TAIL = b"%%EOF", 4096  # bytes: some programs write a little after the end
_POINTS, _DPI = 72, 150
_LONGEST = 4096  # pixels of the longer side of a page, however finely it was scanned
_BYTES_A_PIXEL = 8
_PDFIUM = Lock()  # it does one thing at a time


def is_pdf(data: bytes) -> bool:
    """Whether a file begins as a PDF does."""
    return _START.match(data) is not None


def open_page(data: bytes, max_pixels: int, number: int = 0) -> tuple[Image.Image, int]:
    """Return a page as RGB, upright, with its form filled in, and how many there are.

    It has the resolution of the largest picture on it, 150 dpi at least, and 4,096 pixels on its
    longer side at most.

    Raises: MissingFormatError: pypdfium2 is not installed. RefusedError: damaged, truncated,
        or not to be opened without its password. Image.DecompressionBombError: the page or
        a picture on it is above `max_pixels`.
    """
    try:
        import pypdfium2
    except ImportError:
        raise MissingFormatError("PDF", "pdf") from None
    if _END not in data.rstrip(b"\0")[-_TAIL:]:
        raise RefusedError("truncated PDF")
    with _PDFIUM:
        try:
            with pypdfium2.PdfDocument(data) as document:
                document.init_forms()
                return _drawn(document[number], max_pixels), len(document)
        except pypdfium2.PdfiumError as error:
            locked = "password" in str(error).lower()
            raise RefusedError("PDF with a password" if locked else "damaged PDF") from None


def _drawn(page: Any, max_pixels: int) -> Image.Image:
    from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

    longer = max(page.get_size())
    if longer <= 0:
        raise RefusedError("PDF page without a size")
    pictures = [found.get_px_size() for found in page.get_objects([FPDF_PAGEOBJ_IMAGE])]
    widest: tuple[int, int] = max(pictures, key=lambda size: size[0] * size[1], default=(0, 0))
    refuse_bomb(*widest, max_pixels)
    side = min(_LONGEST, max(longer * _DPI / _POINTS, *widest))
    scale = side / longer
    width, height = (max(1, round(points * scale)) for points in page.get_size())
    refuse_bomb(width, height, max_pixels)
    need = _BYTES_A_PIXEL * (width * height + widest[0] * widest[1])
    with DECODING.taken(need, max_pixels):
        drawn: Image.Image = page.render(scale=scale, rev_byteorder=True).to_pil()
        return drawn.convert("RGB")


_NO_PIXELS = struct.pack(">I4sI", 0, b"IDAT", zlib.crc32(b"IDAT"))
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")  # each means nothing without the others


def without_remarks(data: bytes) -> bytes:
    """Return a PNG file without the remarks for which Pillow refuses it.

    Texts or a profile of more than 1 MB, say, or any with a wrong checksum.
    """
    chunks = list(_chunks(data))
    start = PNG + b"".join(chunk for _, chunk in chunks[:1])
    return PNG + b"".join(
        chunk
        for kind, chunk in chunks
        if not kind[:1].islower() or kind in _ANIMATION or _is_taken(start + chunk)
    )


def _is_taken(start: bytes) -> bool:
    """Whether Pillow opens a PNG file that begins so."""
    try:
        Image.open(io.BytesIO(start + _NO_PIXELS), formats=["PNG"])
    except Exception:  # whatever it raises
        return False
    return True


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the bytes of each chunk of a PNG file, the last perhaps cut."""
    at = len(PNG)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at : at + 12 + length]
        at += 12 + length
