"""Streams that Zstandard has packed, through Arrow, which brings it along."""

from __future__ import annotations

import io
from typing import IO, Any, cast

import pyarrow as pa


class _Lent(io.RawIOBase):
    """A file that stays open when Arrow closes it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def reading(file: IO[bytes]) -> IO[bytes]:
    """Return what a packed file holds; it cannot seek."""
    return cast("IO[bytes]", pa.CompressedInputStream(pa.PythonFile(_Lent(file), "r"), "zstd"))


def writing(path: str) -> IO[bytes]:
    """Return a new file that packs what is written to it."""
    return cast("IO[bytes]", pa.CompressedOutputStream(path, "zstd"))
