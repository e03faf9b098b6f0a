"""TIFF files: what they say of themselves, and those that Pillow does not read, or reads wrongly.

The latter by the extra `tiff` (tifffile): of many bands, of real numbers, big-endian BigTIFF,
colours in planes, rare compressions. Source: TIFF 6.0, section 2.
"""

from __future__ import annotations

import io
import logging
import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sscd_cli.images.colours import BITS, VALUE_NEED, Samples, eight_bits, plain_rgb
from sscd_cli.images.guards import DECODING, refuse_bomb
from sscd_cli.images.reasons import MissingFormatError, RefusedError
from sscd_cli.machines.hardware import lacking

# tags, and values of theirs
NEW_SUBFILE_TYPE, SUB_IFDS, DNG_VERSION = 254, 330, 50706
WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT, TILES = 256, 257, 322, 323, 324
PLANES, SEPARATE = 284, 2
COLOUR_FILTER_ARRAY, LONG = 32803, 4
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
PANASONIC_START = 280  # where the pixels of an RW2 file begin
_MOST_DIRECTORIES, _MOST_PIECES = 64, 1 << 20


def first_tags(data: bytes) -> dict[int, int]:
    """Return the tags of a TIFF file's first directory, each with its first value; {} if none."""
    order = _ORDERS.get(data[:4])
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
    order = _ORDERS.get(data[:4])
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


ORIENTATION, NODATA = 274, "GDAL_NODATA"
_MODES = {
    "RGB": ("RGB", 3),
    "SEPARATED": ("CMYK", 4),
    "MINISBLACK": ("L", 1),
    "MINISWHITE": ("L", 1),
}
# by what the first extra sample is: alpha by which colours are multiplied already, or are not
_WITH_ALPHA = {("L", 1): "La", ("RGB", 1): "RGBa", ("L", 2): "LA", ("RGB", 2): "RGBA"}
_NEVER = 1 << 16  # bands

logging.getLogger("tifffile").addHandler(logging.NullHandler())


def refuse_scrambled(image: Image.Image) -> None:
    """Raise RefusedError for a TIFF file, opened, of which Pillow makes other pixels."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(BITS, 8)
    if tags.get(PLANES) == SEPARATE and isinstance(bits, tuple) and len(bits) > 1 and max(bits) > 8:
        raise RefusedError("TIFF of 16-bit colours in separate planes")


def open_tiff(
    data: bytes, max_pixels: int, error: Exception, number: int = 0
) -> tuple[Image.Image, int, int]:
    """Return a page as RGB, how it has to be turned by EXIF's numbers, and the pages.

    Args: error: what Pillow raised.
    Raises: `error`: the file is damaged. MissingFormatError: a sound file, and no tifffile.
        RefusedError: truncated, or of a kind that tifffile does not read.
        Image.DecompressionBombError: above `max_pixels`.
    """
    try:
        if is_cut(data):
            raise RefusedError("truncated TIFF")
    except struct.error:
        raise error from None
    try:
        import tifffile
    except ImportError:
        raise MissingFormatError("TIFF of this kind", "tiff") from error
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page: Any = file.pages[number]
            orientation = page.tags.valueof(ORIENTATION, 1)
            return _rgb(page, max_pixels), int(orientation), len(file.pages)
    except (RefusedError, Image.DecompressionBombError):
        raise
    except Exception as failure:
        if lacking(failure):
            raise
        raise error from failure


def _rgb(page: Any, max_pixels: int) -> Image.Image:
    refuse_bomb(page.imagewidth, page.imagelength, max_pixels)
    count = page.imagewidth * page.imagelength * page.samplesperpixel
    with DECODING.taken(page.nbytes + count * VALUE_NEED, max_pixels):
        mode, bands = _MODES.get(page.photometric.name, ("", _NEVER))
        if page.photometric.name == "MINISBLACK" and page.samplesperpixel >= 3:
            mode, bands = "RGB", 3  # the first three of many
        values = _last_axis(page.asarray(maxworkers=1), page.axes)
        if values.dtype.kind not in "uif" or values.shape[2] < bands:
            raise RefusedError("TIFF of a kind that is not read")
        shown = eight_bits(values[..., :bands], _samples(page))
        if transparent := _transparent(mode, page):
            mode, alpha = transparent, _alpha(values[..., bands])
            shown = np.dstack([shown, alpha])
        return plain_rgb(Image.fromarray(shown.squeeze(2) if mode == "L" else shown, mode))


def _transparent(mode: str, page: Any) -> str:
    """Return the mode with transparency behind the colours, "" where there is none."""
    kinds = page.extrasamples
    if len(kinds) != page.samplesperpixel - len(mode) or not kinds:
        return ""
    return _WITH_ALPHA.get((mode, int(kinds[0])), "")


def _alpha(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    most = np.iinfo(values.dtype).max if values.dtype.kind in "ui" else 1
    return np.rint(np.clip(values.astype(np.float32) / most, 0, 1) * 255).astype(np.uint8)


def _last_axis(values: npt.NDArray[Any], axes: str) -> npt.NDArray[Any]:
    """Return an array (H, W, C). Raises: RefusedError: it has other axes."""
    if axes == "YX":
        return values[..., None]
    if axes not in ("YXS", "SYX"):
        raise RefusedError("TIFF of a kind that is not read")
    return values if axes == "YXS" else np.moveaxis(values, 0, 2)


def _samples(page: Any) -> Samples:
    nodata = page.nodata if NODATA in page.tags else None
    inverted = page.photometric.name == "MINISWHITE"
    return Samples(inverted=inverted, nodata=None if nodata is None else float(nodata))
