"""Some frames of an animation, or some pages of a file of pages, as upright RGB."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from sscd_cli.choices import MAX_PIXELS
from sscd_cli.images.budget import DECODING, need_of
from sscd_cli.images.formats import refuse_bomb
from sscd_cli.images.noise import quiet_codecs
from sscd_cli.images.opening import frames_of, identified, upright_rgb
from sscd_cli.images.pdf import is_pdf, open_page


def some_frames(data: bytes, *, exif: bool = True) -> Iterator[Image.Image]:
    """Yield the first frame of a file, those at its quarters, and its last.

    Limits: an animation is decoded from its beginning, however few frames are asked for.
    Raises: Image.DecompressionBombError: too many pixels; any other `Exception` where the file is
        damaged, as `open_picture` does.
    """
    if is_pdf(data):
        first, pages = open_page(data, MAX_PIXELS)
        yield first
        yield from (open_page(data, MAX_PIXELS, number)[0] for number in _some(pages)[1:])
        return
    with quiet_codecs(MAX_PIXELS):
        numbers = _some(frames_of(identified(data, MAX_PIXELS)))
        image = identified(data, MAX_PIXELS)
        for number in numbers:
            image.seek(number)
            refuse_bomb(*image.size, MAX_PIXELS)
            with DECODING.taken(need_of(image, image.size, in_strips=False), MAX_PIXELS):
                yield upright_rgb(image, exif=exif)


def _some(frames: int) -> list[int]:
    last = frames - 1
    return sorted({0, last // 4, last // 2, last * 3 // 4, last})
