"""JPEG 2000 files: what OpenJPEG takes to decode one, which it does a tile at a time."""

from __future__ import annotations

import struct
from typing import IO

from PIL import Image

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
