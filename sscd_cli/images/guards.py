"""What decoding may do to this process: what memory it takes, what is too large, what it prints.

What libraries that decode images would print or warn about is kept from the terminal: an image
that cannot be read has a reason, one in our words; nothing else is said of it.
"""

from __future__ import annotations

import ctypes
import logging
import os
import struct
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import IO

from PIL import Image, _imaging

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


# what Pillow logs about a damaged file would reach stderr
logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextmanager
def quiet_codecs(max_pixels: int) -> Iterator[None]:
    """Silence codecs, and set Pillow's own guard for images inside images.

    All that is the process's: the first thread to come saves it, the last one to go restores it.
    """
    _silence_libtiff()
    with _QUIET.lock:
        if not _QUIET.threads:
            _swap_stderr()
            _QUIET.guard = Image.MAX_IMAGE_PIXELS
            _QUIET.filters = warnings.catch_warnings()
            _QUIET.filters.__enter__()
            warnings.simplefilter("ignore")
        # Pillow refuses above twice this number
        Image.MAX_IMAGE_PIXELS = (max_pixels + 1) // 2
        _QUIET.threads += 1
    try:
        yield
    finally:
        with _QUIET.lock:
            _QUIET.threads -= 1
            if not _QUIET.threads:
                _swap_stderr()
                _QUIET.filters.__exit__(None, None, None)
                Image.MAX_IMAGE_PIXELS = _QUIET.guard


@dataclass
class _Quiet:
    """How many threads decode now, and what to restore after the last."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    threads: int = 0
    guard: int | None = None
    filters: warnings.catch_warnings[None] = field(default_factory=warnings.catch_warnings)


_QUIET = _Quiet()


@lru_cache(maxsize=1)
def _silence_libtiff() -> None:
    """Take from libtiff, which Pillow has loaded, the functions that print to stderr."""
    with suppress(OSError, AttributeError):  # a Pillow without it
        libraries = ctypes.CDLL(_imaging.__file__)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            set_handler = libraries[name]
            set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            set_handler(None)


def _swap_stderr() -> None:
    """Exchange the stream that C code (LibRaw, for one) prints to for one that leads nowhere.

    And back. Python does not use that stream: what it prints to stderr is printed.
    """
    streams = _streams()
    if streams is not None:
        stderr, other = streams
        stderr.value, other.value = other.value, stderr.value


@lru_cache(maxsize=1)
def _streams() -> tuple[ctypes.c_void_p, ctypes.c_void_p] | None:
    """Return the C library's variable `stderr` and a stream to nowhere; None where it has none."""
    with suppress(OSError, AttributeError, ValueError, TypeError):
        library = ctypes.CDLL(None)
        name = "__stderrp" if sys.platform == "darwin" else "stderr"
        stderr = ctypes.c_void_p.in_dll(library, name)
        library.fopen.restype = ctypes.c_void_p
        nowhere = library.fopen(os.devnull.encode(), b"w")
        if nowhere:
            return stderr, ctypes.c_void_p(nowhere)
    return None
