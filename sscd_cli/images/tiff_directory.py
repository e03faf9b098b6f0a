"""What a TIFF file says of itself: tags, and where its pixels lie. Source: TIFF 6.0, section 2."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator

TIFF = re.compile(rb"II[*+]\0|MM\0[*+]")
# tags, and values of theirs
NEW_SUBFILE_TYPE, PHOTOMETRIC, SUB_IFDS, DNG_VERSION = 254, 262, 330, 50706
WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT, TILES = 256, 257, 322, 323, 324
BITS, PLANES, SEPARATE = 258, 284, 2
COLOUR_FILTER_ARRAY, LONG = 32803, 4
PANASONIC_START = 280  # where the pixels of an RW2 file begin
_MOST_DIRECTORIES, _MOST_PIECES = 64, 1 << 20


def first_tags(data: bytes) -> dict[int, int]:
    """Return the tags of a TIFF file's first directory, each with its first value; {} if none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 8:
        return {}
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    count = int.from_bytes(data[start : start + 2], "little" if order == "<" else "big")
    directory = data[start + 2 : start + 2 + 12 * count]
    whole = len(directory) // 12 * 12
    tags = {}
    for tag, kind, _, value in struct.iter_unpack(f"{order}HHI4s", directory[:whole]):
        tags[tag] = struct.unpack(f"{order}{'I' if kind == LONG else 'Hxx'}", value)[0]
    return tags


def is_cut(data: bytes) -> bool:
    """Whether the directories of a file say that its pixels go on behind its end.

    Raises: struct.error: a directory itself does.
    """
    return any(start + length > len(data) for start, length in _pieces(data))


def _pieces(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the strips and tiles of a TIFF file lie, of all its directories, and how long."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    todo = [struct.unpack_from(f"{order}I", data, 4)[0]] if order and len(data) >= 8 else []
    seen: set[int] = set()
    while todo and len(seen) < _MOST_DIRECTORIES:
        start = todo.pop()
        if start in seen or not 8 <= start < len(data):
            continue
        seen.add(start)
        tags = _numbers(data, start, order or "<")
        todo += tags.get(SUB_IFDS, [])
        for places, lengths in ((273, 279), (TILES, 325)):
            yield from zip(tags.get(places, []), tags.get(lengths, []), strict=False)
        yield from ((place, 1) for place in tags.get(PANASONIC_START, []))
        if len(tags.get(TILES, [])) < _tiles(tags):
            yield len(data), 1


def _tiles(tags: dict[int, list[int]]) -> int:
    """Return how many tiles cover the picture of a directory, 0 where it has none."""
    if not all(tags.get(name, [0])[0] for name in (TILES, TILE_WIDTH, TILE_HEIGHT)):
        return 0
    sides = ((WIDTH, TILE_WIDTH), (HEIGHT, TILE_HEIGHT))
    return math.prod(-(-tags.get(side, [0])[0] // tags[tile][0]) for side, tile in sides)


def _numbers(data: bytes, start: int, order: str) -> dict[int, list[int]]:
    """Return the whole numbers of each tag of one directory."""
    (count,) = struct.unpack_from(f"{order}H", data, start)
    found = {}
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from(f"{order}HHI", data, at)
        size = {3: 2, 4: 4, 13: 4}.get(kind, 0)
        if not size or values > _MOST_PIECES:
            continue
        place = at + 8
        if values * size > 4:
            (place,) = struct.unpack_from(f"{order}I", data, place)
        found[tag] = list(
            struct.unpack_from(f"{order}{values}{'H' if size == 2 else 'I'}", data, place)
        )
    return found
