"""Pairs that a person said are no copies, or shall both stay, are no pairs."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.matching.copies import Copies
from sscd_cli.matching.doubts import exact_copies


def without_rejected(
    copies: Copies, columns: Mapping[str, NDArray[Any]], rejected: Set[tuple[str, str]]
) -> tuple[Copies, int]:
    """Leave out the pairs of pictures that were rejected; return how many there were, too.

    What has the pixels of a rejected image is rejected, too, as long as that is in the dataset.
    Args: columns: `content_hash` and `pixel_hash` of N rows, uint8 (N, 16). rejected: pairs of
        content hashes, hexadecimal.
    Limits: of a spanning forest, which stands for more pairs than it holds, none is left out.
    """
    if not rejected or copies.forest_at is not None:
        return copies, 0
    picture_N = exact_copies(columns)
    number_of = _numbers({hash for pair in rejected for hash in pair}, columns, picture_N)
    known = [pair for pair in rejected if pair[0] in number_of and pair[1] in number_of]
    keys = [_key(number_of[left], number_of[right], len(picture_N)) for left, right in known]
    _, first = np.unique(copies.group, return_index=True)
    picture_U = picture_N[first]
    left, right = picture_U[copies.pairs.left], picture_U[copies.pairs.right]
    out = np.isin(_key(left, right, len(picture_N)), np.array(keys, np.int64))
    return replace(copies, pairs=copies.pairs.chosen(~out)), int(out.sum())


def _numbers(
    hashes: Set[str], columns: Mapping[str, NDArray[Any]], picture_N: NDArray[np.int64]
) -> dict[str, int]:
    """Return the number of the picture that each content is, of those that the rows have."""
    rows = np.ascontiguousarray(columns["content_hash"]).view("V16").ravel()
    wanted = np.array([bytes.fromhex(hash) for hash in hashes], "V16")
    found = np.flatnonzero(np.isin(rows, wanted)).tolist()
    return {rows[row].tobytes().hex(): int(picture_N[row]) for row in found}


def _key(left: Any, right: Any, count: int) -> Any:
    """Return one number for two pictures in either order; numbers go up to 2·N."""
    return np.minimum(left, right) * (2 * count + 1) + np.maximum(left, right)
