"""Memory for decoding: what an image will take, and what all threads together may."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from sscd_cli.images.deep_colours import has_deep_colours
from sscd_cli.images.jpeg_2000 import tile_bytes
from sscd_cli.machines.hardware import memory_bytes
from sscd_cli.text import bytes_text

# so much is allowed for each pixel that --max-pixels lets in
BYTES_A_PIXEL = 8
_LEAST = 1 << 28  # bytes that are allowed whatever it says
# of a pixel, by Pillow's modes; 4 of all others
_MODES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
_CODECS = {"AVIF": 6, "HEIF": 6, "WEBP": 4, "JXL": 4}
RAW_PIXEL = 14  # bytes that LibRaw takes for one, until it is RGB
_PROGRESSIVE = 6  # a JPEG file's coefficients, whole at any resolution
_IN_STRIPS, _WHOLE = 1, 4
_TWICE = 4  # deep colours that turn out to be dark are read again (see `deep_colours`)


def need_of(image: Image.Image, full: tuple[int, int], *, in_strips: bool) -> int:
    """Return about how many bytes it takes to load an opened image and make RGB of it.

    full: its size in the file, where it is loaded at less.
    """
    mode = _MODES.get(image.mode, 4)
    conversion = _IN_STRIPS if in_strips else 0 if image.mode == "RGB" else _WHOLE
    codec = full[0] * full[1] * _CODECS.get(image.format or "", 0)
    if has_deep_colours(image):
        conversion = max(conversion, _TWICE)
    if image.info.get("progressive") and image.format in {"JPEG", "MPO"}:
        codec = full[0] * full[1] * _PROGRESSIVE
    if image.format == "JPEG2000":
        codec = tile_bytes(image)
    return image.width * image.height * (mode + conversion) + codec


class Budget:
    """Bytes that are shared by all threads of a process."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._used = 0

    @contextmanager
    def taken(self, need: int, max_pixels: int) -> Iterator[None]:
        """Wait until `need` bytes are free, and hold them.

        Raises: Image.DecompressionBombError: more than there is for `max_pixels`, or than half of
            this machine's memory.
        """
        allowed, half = max(BYTES_A_PIXEL * max_pixels, _LEAST), memory_bytes() // 2
        if need > min(allowed, half):
            limit = bytes_text(min(allowed, half))
            lift = "raise --max-pixels to read it"
            fix = lift if need > allowed else "half of this machine's memory"
            raise Image.DecompressionBombError(
                f"takes about {bytes_text(need)} to decode, more than {limit}; {fix}"
            )
        with self._change:
            self._change.wait_for(lambda: self._used + need <= min(allowed, half))
            self._used += need
        try:
            yield
        finally:
            with self._change:
                self._used -= need
                self._change.notify_all()


DECODING = Budget()
