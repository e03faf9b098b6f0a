"""Pairs that a person said are no copies, or shall both stay, are no pairs."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sscd_cli.matching.copies import Copies
from sscd_cli.matching.doubts import as_keys, exact_copies
from sscd_cli.matching.join import Pairs

T = TypeVar("T")


def without_rejected(
    copies: Copies,
    columns: Mapping[str, NDArray[Any]],
    rejected: Set[tuple[str, str]],
    pixels: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Copies, int]:
    """Leave out the pairs of pictures that were rejected; return how many there were, too.

    What has the pixels of a rejected image is rejected, too.
    Args: columns: `content_hash` and `pixel_hash` of N rows, uint8 (N, 16). rejected: pairs of
        content hashes, hexadecimal. pixels: the pixel hashes of contents, as far as known; of
        others the pixels are known only while they are in the dataset.
    Limits: of a spanning forest, which stands for more pairs than it holds, none is left out.
    """
    if not rejected or copies.forest_at is not None:
        return copies, 0
    picture_N = exact_copies(columns)
    verdicts = _by_pictures(dict.fromkeys(rejected), columns, picture_N, pixels)
    _, first = np.unique(copies.group, return_index=True)
    picture_U = picture_N[first]
    left, right = picture_U[copies.pairs.left], picture_U[copies.pairs.right]
    out = np.isin(_key(left, right, len(picture_N)), np.array(list(verdicts), np.int64))
    return replace(copies, pairs=copies.pairs.chosen(~out)), int(out.sum())


def decided_between(
    pairs: Pairs,
    ours: Mapping[str, NDArray[Any]],
    theirs: Mapping[str, NDArray[Any]],
    decided: Mapping[tuple[str, str], T],
    pixels: Mapping[str, str] = MappingProxyType({}),
) -> dict[int, T]:
    """Return what was decided of pairs of two sets, by their places; those of which nothing was
    are left out.

    What has the pixels of a decided image shares its decisions; what was decided of the very same
    bytes comes first.
    Args: ours, theirs, pixels: as `columns` and `pixels` of `without_rejected`. decided: by pairs
        of content hashes.
    """
    if not decided:
        return {}
    columns = {n: np.concatenate([ours[n], theirs[n]]) for n in ("content_hash", "pixel_hash")}
    bytes_only = {**columns, "pixel_hash": np.zeros_like(columns["pixel_hash"])}
    found: dict[int, T] = {}
    for known in (columns, bytes_only):
        picture_N = exact_copies(known)
        verdicts = _by_pictures(decided, known, picture_N, pixels)
        left, right = picture_N[pairs.left], picture_N[len(ours["content_hash"]) + pairs.right]
        key_P = _key(left, right, len(picture_N))
        places = np.flatnonzero(np.isin(key_P, np.array(list(verdicts), np.int64)))
        found |= {int(place): verdicts[int(key_P[place])] for place in places}
    return found


def _by_pictures(
    decided: Mapping[tuple[str, str], T],
    columns: Mapping[str, NDArray[Any]],
    picture_N: NDArray[np.int64],
    pixels: Mapping[str, str],
) -> dict[int, T]:
    """Return what was decided of pairs of which both pictures are there, by their keys."""
    number_of = _numbers({hash for pair in decided for hash in pair}, columns, picture_N, pixels)
    return {
        _key(number_of[left], number_of[right], len(picture_N)): verdict
        for (left, right), verdict in decided.items()
        if left in number_of and right in number_of
    }


def _numbers(
    hashes: Set[str],
    columns: Mapping[str, NDArray[Any]],
    picture_N: NDArray[np.int64],
    pixels: Mapping[str, str],
) -> dict[str, int]:
    """Return the number of the picture that each content is, of those that the rows have."""
    known = {hash: pixels[hash] for hash in hashes if hash in pixels}
    by_pixels = _rows(set(known.values()), columns["pixel_hash"])
    found = {hash: by_pixels[shown] for hash, shown in known.items() if shown in by_pixels}
    found |= _rows(hashes, columns["content_hash"])
    return {hash: int(picture_N[row]) for hash, row in found.items()}


def _rows(hashes: Set[str], digests: NDArray[Any]) -> dict[str, int]:
    """Return a row of each digest, hexadecimal, that there is."""
    rows = as_keys(digests)
    wanted = np.array([bytes.fromhex(hash) for hash in hashes], "V16")
    return {
        rows[row].tobytes().hex(): row for row in np.flatnonzero(np.isin(rows, wanted)).tolist()
    }


def _key(left: Any, right: Any, count: int) -> Any:
    """Return one number for two pictures in either order; numbers go up to 2·N."""
    return np.minimum(left, right) * (2 * count + 1) + np.maximum(left, right)
