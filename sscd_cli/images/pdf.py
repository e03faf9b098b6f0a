"""Pages of PDF files as pictures, by the extra `pdf` (pypdfium2)."""

from __future__ import annotations

import re
from threading import Lock
from typing import Any

from PIL import Image

from sscd_cli.images.budget import DECODING
from sscd_cli.images.formats import MissingFormatError, refuse_bomb
from sscd_cli.images.reasons import RefusedError

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
