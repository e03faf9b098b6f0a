"""Which of several copies is rather kept: an ordered list of words becomes a total order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.choices import KEEP_WORDS, check_word
from sscd_cli.matching.products import Indices

_FORMATS = (  # those that lose least first
    ("RAW",),
    ("TIFF", "PSD", "PNG", "BMP", "PPM", "SGI", "SUN", "TGA", "QOI"),
    ("JPEG", "MPO", "HEIF", "JXL", "AVIF", "JPEG2000"),
    ("WEBP",),
)
Table = Mapping[str, NDArray[Any]]


def keep_order(policy: Sequence[str], table: Table) -> Indices:
    """Return the rank of each row, 0 for the one that is kept before all others.

    Args: policy: words of `KEEP_WORDS`; each decides where those before it find rows equal, and
        the path, the source and the input order decide last, so that runs agree.
        table: arrays (N,): `id` (str objects), and as the words need them `width` and `height`
        (pixels), `file_bytes`, `mtime_ns` (int64), `format`, `source` (str objects), `named`
        (int64, where each source is in the order in which they are named). A negative number, a
        zero or a NaN is unknown and ranks behind what is known. As far as they are there: `edited`
        (bool), copies of other rows, and `preferred` (bool), which stay before all others.
    Returns: int64 (N,), a permutation of 0..N-1.
    Raises: UsageError: a word that is not in `KEEP_WORDS`.
    """
    for word in policy:
        check_word("keep word", word, KEEP_WORDS)
    count = len(table["id"])
    words = list(dict.fromkeys([*policy, "path", "first"]))
    keys = [~table["preferred"]] if "preferred" in table else []
    keys += [key for word in words[: words.index("first") + 1] for key in _WORDS[word](table)]
    rank = np.empty(count, np.int64)
    rank[np.lexsort(tuple(keys[::-1]))] = np.arange(count)
    return rank


def deciding_word(policy: Sequence[str], table: Table) -> str:
    """Return for which word the first of two rows stays for the other one; "preferred" for none.

    Args: as of `keep_order`, the rows of which are these two.
    """
    if "preferred" in table and table["preferred"][0] > table["preferred"][1]:
        return "preferred"
    for word in (*policy, "path", "first"):
        if any(key[0] != key[1] for key in _WORDS[word](table)):
            return word
    return "first"


def _original(table: Table) -> list[NDArray[Any]]:
    return [table["edited"]] if "edited" in table else []


def _resolution(table: Table) -> list[NDArray[Any]]:
    width, height = table["width"].astype(np.float64), table["height"].astype(np.float64)
    return _larger_first(np.where((width > 0) & (height > 0), width * height, 0))


def _bytes(table: Table) -> list[NDArray[Any]]:
    return _larger_first(table["file_bytes"].astype(np.float64))


def _format(table: Table) -> list[NDArray[Any]]:
    known = {name: rank for rank, names in enumerate(_FORMATS) for name in names}
    return [np.array([known.get(name, len(_FORMATS)) for name in table["format"].tolist()])]


def _source(table: Table) -> list[NDArray[Any]]:
    return [table["named"]] if "named" in table else []


def _oldest(table: Table) -> list[NDArray[Any]]:
    return _known_first(table["mtime_ns"], table["mtime_ns"] > 0)


def _newest(table: Table) -> list[NDArray[Any]]:
    return _known_first(-table["mtime_ns"], table["mtime_ns"] > 0)


def _path(table: Table) -> list[NDArray[Any]]:
    keys = [_text_rank(table["id"])]
    return [*keys, _text_rank(table["source"])] if "source" in table else keys


def _first(table: Table) -> list[NDArray[Any]]:
    return [np.arange(len(table["id"]))]


def _larger_first(values: NDArray[Any]) -> list[NDArray[Any]]:
    return _known_first(-values, values > 0)


def _known_first(values: NDArray[Any], known: NDArray[np.bool_]) -> list[NDArray[Any]]:
    return [~known, np.where(known, values, 0)]


def _text_rank(texts: NDArray[Any]) -> Indices:
    """Return integers in the order of the texts, equal for equal texts.

    A stable sort, because paths come nearly sorted, and that is when it is linear.
    """
    order = np.argsort(texts, kind="stable")
    ordered = texts[order]
    rank = np.zeros(len(texts), np.int64)
    rank[order[1:]] = np.cumsum(ordered[1:] != ordered[:-1])
    return rank


_WORDS: dict[str, Callable[[Table], list[NDArray[Any]]]] = {
    "original": _original,
    "resolution": _resolution,
    "bytes": _bytes,
    "format": _format,
    "source": _source,
    "oldest": _oldest,
    "newest": _newest,
    "path": _path,
    "first": _first,
}
