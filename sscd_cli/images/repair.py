"""Files of sound pixels that codecs refuse or take minutes for, told by their own markers."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from sscd_cli.images.reasons import RefusedError

PNG = b"\x89PNG\r\n\x1a\n"
# what nobody sees: Pillow refuses a picture for one of more than 1 MB, or with a wrong checksum
_REMARKS = frozenset({b"iCCP", b"tEXt", b"zTXt", b"iTXt"})
_JPEG, _START_OF_SCAN = b"\xff\xd8\xff", b"\xff\xda"
_MOST_SCANS = 200  # encoders write about ten


def without_remarks(data: bytes) -> bytes:
    """Return a PNG file without texts and colour profile; any other file as it is."""
    if not data.startswith(PNG):
        return data
    kept = [chunk for kind, chunk in _chunks(data) if kind not in _REMARKS]
    return b"".join([PNG, *kept])


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the bytes of each chunk of a PNG file, the last perhaps cut."""
    at = len(PNG)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at : at + 12 + length]
        at += 12 + length


def refuse_many_scans(data: bytes) -> None:
    """Raise RefusedError for a progressive JPEG file that takes minutes, as no camera writes."""
    if data.startswith(_JPEG) and (scans := data.count(_START_OF_SCAN)) > _MOST_SCANS:
        raise RefusedError(f"JPEG of {scans} scans, more than the {_MOST_SCANS} that are read")
