"""Zip archives that lack their directory, as a download that was cut off: what is left of them.

Each member follows a header of its own, which repeats most of what the directory at the end says.
"""

from __future__ import annotations

import io
import os
import re
import struct
import zipfile
from collections.abc import Iterator
from typing import IO

from sscd_cli.images.containers.packing import CHUNK_BYTES

MEMBER, DESCRIPTOR = b"PK\3\4", b"PK\7\x08"
SIZES_FOLLOW, UTF_8 = 8, 0x800  # bits of a member's flags
IN_EXTRA = 0xFFFFFFFF  # in place of a size: it takes 64 bits, and stands in the extra field
_HEADER = struct.Struct("<4s5H3I2H")
_DESCRIPTORS = struct.Struct("<4x3I"), struct.Struct("<4xI2Q")
_EMPTY = b"PK\5\6" + bytes(18)


class CutZip(zipfile.ZipFile):
    """The members before the cut. The last of them may have lost its end; then it is `cut`.

    end: where what is whole of the archive ends.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(io.BytesIO(_EMPTY))
        self.fp = file
        self.end = 0
        self.cut: zipfile.ZipInfo | None = None
        self.filelist = list(self._members(file))

    def _members(self, file: IO[bytes]) -> Iterator[zipfile.ZipInfo]:
        size = file.seek(0, os.SEEK_END)
        while info := _header(file, self.end):
            start = file.tell()
            if info.flag_bits & SIZES_FOLLOW:
                end = _end_by_descriptor(file, info)
            else:
                end = start + info.compress_size
            yield info
            if not end or end > size:
                self.cut = info
                return
            self.end = end


def _header(file: IO[bytes], at: int) -> zipfile.ZipInfo | None:
    """Read a member's header, up to its bytes; None if there is no whole one."""
    file.seek(at)
    data = file.read(_HEADER.size)
    if len(data) < _HEADER.size or not data.startswith(MEMBER):
        return None
    _, _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes = _HEADER.unpack(data)
    name, extra = file.read(name_bytes), file.read(extra_bytes)
    if len(name) + len(extra) < name_bytes + extra_bytes:
        return None
    try:
        info = zipfile.ZipInfo(name.decode("utf-8" if flags & UTF_8 else "cp437"))
    except UnicodeDecodeError:
        return None
    info.flag_bits, info.compress_type, info.CRC, info.header_offset = flags, method, crc, at
    info.file_size, info.compress_size, info.extra = size, packed, extra
    large = _large_sizes(extra)
    if large and size == packed == IN_EXTRA:
        info.file_size, info.compress_size = large
    return info


def _large_sizes(extra: bytes) -> tuple[int, int] | None:
    """Return the sizes of 64 bits that a member's extra field holds, if any."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1 and length >= 16 and len(extra) >= 20:
            size, packed = struct.unpack_from("<2Q", extra, 4)
            return size, packed
        extra = extra[4 + length :]
    return None


def _end_by_descriptor(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    """Look for what a writer that cannot go back puts behind a member: its checksum and sizes.

    Returns: where that ends; 0 if it does not follow.
    """
    start = file.tell()
    forms = _DESCRIPTORS[1:] if _large_sizes(info.extra) else _DESCRIPTORS
    for at in _found(file, DESCRIPTOR, start):
        file.seek(at)
        data = file.read(_DESCRIPTORS[-1].size)
        for form in forms:
            if len(data) >= form.size and form.unpack_from(data)[1] == at - start:
                info.CRC, info.compress_size, info.file_size = form.unpack_from(data)
                return at + form.size
    return 0


def _found(file: IO[bytes], sought: bytes, start: int) -> Iterator[int]:
    """Yield where some bytes stand in a file."""
    data = bytes(CHUNK_BYTES)
    while len(data) == CHUNK_BYTES:
        file.seek(start)
        data = file.read(CHUNK_BYTES)
        yield from (start + match.start() for match in re.finditer(re.escape(sought), data))
        start += CHUNK_BYTES - len(sought) + 1
