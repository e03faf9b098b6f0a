"""What gzip, bzip2, xz or Zstandard has packed: a stream, or unpacked as far as it is whole."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple, cast

CHUNK_BYTES = 1 << 20
PACKED_BYTES = 1 << 16  # of which gzip makes 64 MiB at most
LEFT_FREE = 1 << 30  # bytes of the disk where temporary files lie
GZIP, BZIP2, XZ, ZSTANDARD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"
SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
DECOMPRESSORS: dict[bytes, Callable[[], Any]] = {
    GZIP: lambda: zlib.decompressobj(wbits=31),
    BZIP2: bz2.BZ2Decompressor,
    XZ: lzma.LZMADecompressor,
}
DAMAGE = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)


class Unpacked(NamedTuple):
    """What a file held, in a temporary file without a name, and what cut it short, if anything."""

    file: IO[bytes]
    damage: Exception | None


def without_packing(name: str) -> str:
    """Return a name in lower case without the suffix that says how the file is packed."""
    return name.removesuffix(next((end for end in SUFFIXES if name.endswith(end)), ""))


def packing(file: IO[bytes]) -> bytes:
    """Return the signature of what packed a file, b"" if nothing did."""
    file.seek(0)
    start = file.read(len(XZ))
    file.seek(0)
    return next((kind for kind in (GZIP, BZIP2, XZ, ZSTANDARD) if start.startswith(kind)), b"")


def opened(file: IO[bytes]) -> IO[bytes]:
    """Return a stream of what a file holds, packed or not.

    Going back in it means to unpack it from its beginning; where it cannot go back at all (as with
    Zstandard), it is unpacked at once. Raises: OSError: that is damaged, or has no room.
    """
    kind = packing(file)
    if kind == ZSTANDARD:
        stream, damage = unpack(file)
        if damage is not None:
            stream.close()
            raise damage
        return stream
    if kind == GZIP:
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    if kind == BZIP2:
        return cast("IO[bytes]", bz2.BZ2File(file))
    return cast("IO[bytes]", lzma.LZMAFile(file)) if kind == XZ else file


def writer(kind: bytes, path: str) -> IO[bytes]:
    """Return a new file whose contents are packed in the same way."""
    if kind == GZIP:
        return cast("IO[bytes]", gzip.GzipFile(path, "wb", mtime=0))
    if kind == BZIP2:
        return cast("IO[bytes]", bz2.open(path, "wb"))
    if kind == XZ:
        return cast("IO[bytes]", lzma.open(path, "wb"))
    if kind == ZSTANDARD:
        import pyarrow as pa

        return cast("IO[bytes]", pa.CompressedOutputStream(path, "zstd"))
    return open(path, "wb")  # noqa: PTH123


def unpack(file: IO[bytes]) -> Unpacked:
    """Unpack a file as far as it is whole. Raises: OSError: the disk has no room for it."""
    kind = packing(file)
    target = tempfile.TemporaryFile()  # noqa: SIM115
    damage: Exception | None = None
    chunks = _unpacked(file, kind)
    try:
        while True:
            try:
                data = next(chunks, None)
            except DAMAGE as error:
                damage, data = error, None
            if data is None:
                break
            if shutil.disk_usage(tempfile.gettempdir()).free < LEFT_FREE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            target.write(data)
        target.seek(0)
    except BaseException:
        target.close()
        raise
    return Unpacked(target, damage)


def _unpacked(file: IO[bytes], kind: bytes) -> Iterator[bytes]:
    """Yield what a file holds, all of it that comes before a damage.

    Python's own streams drop up to a buffer of that.
    """
    if kind == ZSTANDARD:
        import pyarrow as pa

        stream = pa.CompressedInputStream(pa.PythonFile(_Lent(file), "r"), "zstd")
        while data := stream.read(CHUNK_BYTES):
            yield data
        return
    unpacker, has_begun = DECOMPRESSORS[kind](), False
    while data := file.read(PACKED_BYTES):
        # a file may be several streams, and zeros that fill the last block of a tape
        while data and (has_begun or data.strip(b"\0")):
            yield unpacker.decompress(data)
            has_begun, data = not unpacker.eof, b""
            if not has_begun:
                data, unpacker = unpacker.unused_data, DECOMPRESSORS[kind]()
    if has_begun:
        raise EOFError("the packed data end too early")


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
