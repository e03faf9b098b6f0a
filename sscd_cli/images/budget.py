"""Memory for decoding: what an image takes, what all threads may together, what is too large."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from PIL import Image

from sscd_cli.images.colours import has_deep_colours
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
_TWICE = 4  # deep colours that turn out to be dark are read again (see `colours`)


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


def refuse_bomb(width: int, height: int, max_pixels: int) -> None:
    """Raise Image.DecompressionBombError for more pixels than allowed."""
    if width * height > max_pixels:
        raise too_many_pixels(max_pixels, f"{width} x {height} pixels are ")


def too_many_pixels(max_pixels: int, found: str = "") -> Image.DecompressionBombError:
    """Return the error for an image above the limit, with the option that lifts it."""
    return Image.DecompressionBombError(
        f"{found}more than the limit of {max_pixels}{'' if found else ' pixels'}; "
        "raise --max-pixels to read it"
    )


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


_START = b"\xff\x4f\xff\x51"  # of a codestream: its markers SOC and SIZ
_SIZ = struct.Struct(">8x8IH")  # both markers, size, offset, tile's size and offset, components
_BOX = struct.Struct(">I4s")
_SAMPLE = 5  # bytes: 32 bits while it is decoded, and 8 as it leaves


def tile_bytes(image: Image.Image) -> int:
    """Return how many bytes the largest tile of an opened JPEG 2000 file takes.

    A file that does not say how large its tiles are counts as one tile.
    """
    width, height, components = *image.size, len(image.getbands())
    file: IO[bytes] | None = getattr(image, "fp", None)
    head = b"" if file is None else _codestream(file)
    if len(head) == _SIZ.size:
        *_, across, down, _, _, components = _SIZ.unpack(head)
        width, height = min(width, across), min(height, down)
    return width * height * components * _SAMPLE


def _codestream(file: IO[bytes]) -> bytes:
    """Return how the codestream begins, which may lie in a box behind others; empty if nowhere.

    Source: ISO/IEC 15444-1, annexes A.5.1 and I.4.
    """
    at = 0
    while True:
        file.seek(at)
        head = file.read(_SIZ.size)
        if head.startswith(_START):
            return head
        size, kind = _BOX.unpack_from(head.ljust(_BOX.size, b"\0"))
        step = _BOX.size if kind == b"jp2c" else size
        if step < _BOX.size:  # the end, a box that goes to it, or one longer than 32 bits say
            return b""
        at += step
