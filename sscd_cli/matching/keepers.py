"""Which of several copies is rather kept: an ordered list of words becomes a total order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.choices import KEEP_WORDS, check_word
from sscd_cli.matching.products import Indices

_FORMATS = {  # what loses least comes first, what is not named last
    **dict.fromkeys(("RAW",), 0),
    **dict.fromkeys(("TIFF", "PSD", "PNG", "BMP", "PPM", "SGI", "SUN", "TGA", "QOI"), 1),
    **dict.fromkeys(("JPEG", "MPO", "HEIF", "JXL", "AVIF", "JPEG2000"), 2),
    **dict.fromkeys(("WEBP",), 3),
}
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


def _pixels(table: Table) -> NDArray[Any]:
    width, height = table["width"].astype(np.float64), table["height"].astype(np.float64)
    return np.where((width > 0) & (height > 0), width * height, 0)


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


# what each word sorts by, the most telling first
_WORDS: dict[str, Callable[[Table], list[NDArray[Any]]]] = {
    "original": lambda table: [table["edited"]] if "edited" in table else [],
    "resolution": lambda table: _larger_first(_pixels(table)),
    "bytes": lambda table: _larger_first(table["file_bytes"].astype(np.float64)),
    "format": lambda table: [
        np.array([_FORMATS.get(name, 4) for name in table["format"].tolist()])
    ],
    "source": lambda table: [table["named"]] if "named" in table else [],
    "oldest": lambda table: _known_first(table["mtime_ns"], table["mtime_ns"] > 0),
    "newest": lambda table: _known_first(-table["mtime_ns"], table["mtime_ns"] > 0),
    "path": lambda table: [_text_rank(table[name]) for name in ("id", "source") if name in table],
    "first": lambda table: [np.arange(len(table["id"]))],
}
