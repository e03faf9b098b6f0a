"""All pairs of descriptors at or above a similarity threshold.

Two steps: choose candidates a little below the threshold, by blocks of matrix products
("exact") or by sign bits ("bits"), then compute every candidate's similarity by one row-wise
routine and cut. So neither the method, nor the block size, nor the number of threads shows in a
reported similarity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sscd_cli.errors import SscdError
from sscd_cli.matching import bits
from sscd_cli.matching.memory import memory_bytes
from sscd_cli.options import METHODS, Method, check_word

Indices = NDArray[np.int64]
Candidates = Iterable[tuple[Indices, Indices]]
Bias = NDArray[np.float32]

EXACT_ROWS = 50_000  # up to here the exact join of 512 dimensions takes seconds
BITS_THRESHOLD = 0.5  # below it, sign bits no longer tell copies from strangers

# Rounding to float16 changes a row's length by up to 2^-11, so a cosine of 1 may come out as a
# product of 0.999; float32 rounding, 1e-6, vanishes beside it.
_MARGIN = 1e-3
_TILE_ROWS, _TILE_COLUMNS = 2048, 4096  # float32 scores of one tile: 32 MiB
_RESCORE_ROWS = 1024
_BYTES_PER_PAIR = 120  # at the peak of join and clustering, measured


@dataclass(frozen=True, slots=True)
class Pairs:
    """Matching rows, each pair once, sorted by (left, right).

    left, right: int64 (P,), row numbers. Within one set left < right; between two sets left is
        a row of the queries and right one of the references.
    similarity: float32 (P,), in [-1, 1], less the biases where there are some.
    """

    left: Indices
    right: Indices
    similarity: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.left)

    def renumbered(self, number_N: Indices) -> Pairs:
        """Return the pairs of rows that still have a number, under it; -1 is none.

        number_N: ascending where it is not -1, so that the order of the pairs stays.
        """
        left, right = number_N[self.left], number_N[self.right]
        kept = (left >= 0) & (right >= 0)
        return Pairs(left[kept], right[kept], self.similarity[kept])


def find_pairs(
    descriptors_ND: NDArray[Any],
    threshold: float,
    method: Method = "auto",
    bias_N: Bias | None = None,
) -> Pairs:
    """Return every pair of rows whose similarity is at least `threshold`.

    Args: descriptors_ND: float16 or float32 (N, D), rows of about unit length. threshold: cosine,
        compared in float32; a pair exactly on it counts. method: "exact"; "bits", which misses
        about 1 in 10^5 of the pairs right at the threshold and fewer above it; "auto", exact
        up to 50,000 rows. bias_N: a pair's similarity is its cosine less the mean of its two
        biases, and the threshold is one of that.
    Returns: pairs with left < right. Memory: 20 bytes a pair (twice that while sorting) and
        100 MB; g identical rows make g²/2 pairs, so `collapse` them first.
    Raises: UsageError: unknown method. SscdError: more pairs than memory can hold.
    """
    least = least_cosine(threshold, bias_N)
    if choose_method(len(descriptors_ND), least, method) == "bits":
        candidates: Candidates = bits.candidates_within(descriptors_ND, least - _MARGIN)
    else:
        candidates = _tiles_within(descriptors_ND, least - _MARGIN)
    half_N = None if bias_N is None else np.float32(0.5) * bias_N
    return _rescored(descriptors_ND, descriptors_ND, candidates, threshold, half_N, half_N)


def cross_pairs(
    queries_QD: NDArray[Any],
    references_RD: NDArray[Any],
    threshold: float,
    method: Method = "auto",
    bias_Q: Bias | None = None,
) -> Pairs:
    """Return every (query, reference) whose similarity is at least `threshold`.

    As `find_pairs`, between two sets: `left` is the query's row and `right` the reference's. A
    similarity is the cosine less the query's bias.
    """
    least = least_cosine(threshold, bias_Q)
    rows = round((len(queries_QD) * len(references_RD)) ** 0.5)
    if choose_method(rows, least, method) == "bits":
        candidates: Candidates = bits.candidates_across(queries_QD, references_RD, least - _MARGIN)
    else:
        candidates = _tiles_across(queries_QD, references_RD, least - _MARGIN)
    return _rescored(queries_QD, references_RD, candidates, threshold, bias_Q)


def least_cosine(threshold: float, bias_N: Bias | None) -> float:
    """Return the smallest cosine that a pair can have which reaches `threshold` less its bias."""
    return threshold if bias_N is None else threshold + float(bias_N.min(initial=2.0))


def choose_method(rows: int, threshold: float, method: Method) -> Literal["exact", "bits"]:
    """Return the method that "auto" stands for: exact where that takes seconds, or bits cannot."""
    check_word("method", method, METHODS)
    if method != "auto":
        return method
    return "bits" if rows > EXACT_ROWS and threshold >= BITS_THRESHOLD else "exact"


def similarities(
    left_MD: NDArray[Any], left_P: Indices, right_MD: NDArray[Any], right_P: Indices
) -> NDArray[np.float32]:
    """Return the similarity of row left_P[i] of `left_MD` to row right_P[i] of `right_MD`.

    Returns: float32 (P,): the float32 dot product, clipped to [-1, 1]; 1.0 for identical rows,
        whose product differs from it by the rounding of their length. The same for (a, b) and
        (b, a), however many pairs are asked for at once. Memory beside the result: 8 MiB at
        D = 512.
    """
    similarity = np.empty(len(left_P), np.float32)
    for start in range(0, len(left_P), _RESCORE_ROWS):
        part = slice(start, start + _RESCORE_ROWS)
        left = left_MD[left_P[part]].astype(np.float32)
        right = right_MD[right_P[part]].astype(np.float32)
        scores = np.einsum("pd,pd->p", left, right)
        near = np.flatnonzero(scores > 1 - 2 * _MARGIN)
        scores[near[(left[near] == right[near]).all(axis=1)]] = 1.0
        np.clip(scores, -1.0, 1.0, out=similarity[part])
    return similarity


def similarity(left_ND: NDArray[Any], right_MD: NDArray[Any]) -> NDArray[np.float32]:
    """Return the cosine similarities of two sets of descriptors, float32 (N, M), in [-1, 1].

    Either may be one descriptor (D,); its axis is then missing from the result.
    """
    product = np.asarray(left_ND, np.float32) @ np.asarray(right_MD, np.float32).T
    clipped: NDArray[np.float32] = np.clip(product, -1.0, 1.0)
    return clipped


def _rescored(
    left_MD: NDArray[Any],
    right_MD: NDArray[Any],
    candidates: Candidates,
    threshold: float,
    left_bias_M: Bias | None = None,
    right_bias_M: Bias | None = None,
) -> Pairs:
    """Compute the candidates' similarities, keep those at the threshold, and sort them."""
    found: list[Pairs] = [Pairs(_NONE, _NONE, np.empty(0, np.float32))]
    room = _most_pairs()
    for left, right in candidates:
        similarity = similarities(left_MD, left, right_MD, right)
        for rows, bias_M in ((left, left_bias_M), (right, right_bias_M)):
            if bias_M is not None:
                similarity -= bias_M[rows]
        kept = similarity >= np.float32(threshold)
        found.append(Pairs(left[kept], right[kept], similarity[kept]))
        room -= len(found[-1])
        if room < 0:
            raise SscdError(
                f"more than {_most_pairs():,} pairs have a similarity of {threshold} or more, "
                "which is more than the memory can hold",
                "raise the threshold or use a machine with more memory",
            )
    left = np.concatenate([pairs.left for pairs in found])
    right = np.concatenate([pairs.right for pairs in found])
    similarity = np.concatenate([pairs.similarity for pairs in found])
    order = np.argsort(left * len(right_MD) + right, kind="stable")
    return Pairs(left[order], right[order], similarity[order])


_NONE = np.empty(0, np.int64)


def _most_pairs() -> int:
    """Return how many pairs can be joined and clustered in the memory that we may use."""
    return memory_bytes() // _BYTES_PER_PAIR


def _tiles_within(rows_ND: NDArray[Any], cut: float) -> Iterator[tuple[Indices, Indices]]:
    """Yield the candidates of the upper triangle: each block against itself and those after."""
    tiles = _Tiles(rows_ND.shape[1])
    for start in range(0, len(rows_ND), _TILE_ROWS):
        tiles.load(rows_ND[start : start + _TILE_ROWS])
        for other in range(start, len(rows_ND), _TILE_COLUMNS):
            left, right = tiles.above(rows_ND[other : other + _TILE_COLUMNS], cut)
            left, right = left + start, right + other
            forward = left < right
            yield left[forward], right[forward]


def _tiles_across(
    queries_QD: NDArray[Any], references_RD: NDArray[Any], cut: float
) -> Iterator[tuple[Indices, Indices]]:
    """Yield the candidates of each block of queries against each block of references."""
    tiles = _Tiles(queries_QD.shape[1])
    for start in range(0, len(queries_QD), _TILE_ROWS):
        tiles.load(queries_QD[start : start + _TILE_ROWS])
        for other in range(0, len(references_RD), _TILE_COLUMNS):
            left, right = tiles.above(references_RD[other : other + _TILE_COLUMNS], cut)
            yield left + start, right + other


class _Tiles:
    """Buffers for one tile of scores, reused: allocating tiles in a loop fragments the heap."""

    def __init__(self, dimensions: int) -> None:
        self._left = np.empty((_TILE_ROWS, dimensions), np.float32)
        self._right = np.empty((_TILE_COLUMNS, dimensions), np.float32)
        self._scores = np.empty(_TILE_ROWS * _TILE_COLUMNS, np.float32)
        self._above = np.empty(_TILE_ROWS * _TILE_COLUMNS, np.bool_)
        self._rows = 0

    def load(self, left_RD: NDArray[Any]) -> None:
        """Keep a block of at most `_TILE_ROWS` rows for the calls of `above` that follow."""
        self._rows = len(left_RD)
        self._left[: self._rows] = left_RD

    def above(self, right_CD: NDArray[Any], cut: float) -> tuple[Indices, Indices]:
        """Return the (row, column) numbers within the tile whose product is at least `cut`."""
        rows, columns = self._rows, len(right_CD)
        self._right[:columns] = right_CD
        scores = self._scores[: rows * columns].reshape(rows, columns)
        above = self._above[: rows * columns].reshape(rows, columns)
        np.matmul(self._left[:rows], self._right[:columns].T, out=scores)
        np.greater_equal(scores, cut, out=above)
        row, column = np.nonzero(above)
        return row, column
