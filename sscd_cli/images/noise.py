"""What libraries that decode images would print or warn about is kept from the terminal.

An image that cannot be read has a reason, one in our words; nothing else is said of it.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache

from PIL import Image, _imaging

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
