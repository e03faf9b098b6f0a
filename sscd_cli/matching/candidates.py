"""The best candidates of a search: k for each query, or so many over all queries together.

Both choose by blocks of matrix products and take the score from `join.similarities`, so that a
pair has one similarity wherever the tool names it.

Legend of shapes: Q queries, R references, N rows of one set, D dimensions, P candidates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.matching.join import similarities
from sscd_cli.matching.products import Indices

Floats = NDArray[np.float32]
_Block = tuple[Indices, Indices, Floats]

_TILE_ROWS, _TILE_COLUMNS = 2048, 4096  # float32 scores of one tile: 32 MiB
_LEAST_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class Candidates:
    """Scored pairs of rows, sorted by query, and the best of each query first.

    query, reference: int64 (P,), row numbers. score: float32 (P,), the cosine similarity plus
        the query's offset (score normalisation), if it has one.
    """

    query: Indices
    reference: Indices
    score: Floats

    def __len__(self) -> int:
        return len(self.query)

    def shifted(self, offset_Q: Floats) -> Candidates:
        """Return the same candidates with their query's offset, (Q,), added to each score."""
        return replace(self, score=self.score + offset_Q[self.query])


def nearest(queries_QD: NDArray[Any], references_RD: NDArray[Any], k: int) -> Candidates:
    """Return the k nearest references of each query, all of them where there are fewer.

    Args: queries_QD, references_RD: float16 or float32, about unit length.
    Memory: float32 copies of both sets, unless they are float32, and 20·Q·k bytes.
    """
    import faiss

    k = min(k, len(references_RD))
    if k < 1 or not len(queries_QD):
        none = np.empty(0, np.int64)
        return Candidates(none, none, np.empty(0, np.float32))
    _, reference_QK = faiss.knn(
        np.ascontiguousarray(queries_QD, np.float32),
        np.ascontiguousarray(references_RD, np.float32),
        k,
        metric=faiss.METRIC_INNER_PRODUCT,
    )
    query = np.repeat(np.arange(len(queries_QD)), k)
    return _scored(queries_QD, references_RD, query, reference_QK.ravel())


def best_overall(
    queries_QD: NDArray[Any],
    references_RD: NDArray[Any],
    count: int,
    offset_Q: Floats | None = None,
) -> Candidates:
    """Return the `count` (1 or more) best pairs of all queries with all references.

    They may be spread over the queries in any way. Otherwise as `nearest`.

    Args: offset_Q: what is added to every score of a query before the best are chosen.
    Memory: 40·count bytes and 100 MB.
    Source: the global candidates of the SSCD reference, `sscd/datasets/isc/descriptor_matching.py`
        (search_with_capped_res), which leaves the tie at the end to chance as this does.
    """
    best = _Best(count)
    for start in range(0, len(queries_QD), _TILE_ROWS):
        stop = min(start + _TILE_ROWS, len(queries_QD))
        offset = None if offset_Q is None else offset_Q[start:stop]
        best.search(queries_QD[start:stop], references_RD, start, offset_R=offset)
    found = _scored(queries_QD, references_RD, *best.pairs())
    return found if offset_Q is None else found.shifted(offset_Q)


def best_within(rows_ND: NDArray[Any], count: int, offset_N: Floats | None = None) -> Candidates:
    """Return the `count` best pairs among the rows of one set, each once, query < reference.

    Otherwise as `best_overall`; a pair's score gains the mean of both rows' offsets.
    """
    best = _Best(count)
    half_N = np.zeros(len(rows_ND), np.float32)
    if offset_N is not None:
        half_N += offset_N / 2
    for start in range(0, len(rows_ND), _TILE_ROWS):
        block = slice(start, start + _TILE_ROWS)
        rows_R, others_C = rows_ND[block], rows_ND[start:]
        best.search(rows_R, others_C, start, start, half_N[block], half_N[start:])
    found = _scored(rows_ND, rows_ND, *best.pairs())
    mean = half_N[found.query] + half_N[found.reference]
    return _sorted(found.query, found.reference, found.score + mean)


class _Best:
    """The best pairs so far. What scores below the last of a full list is not even noted."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._limit = max(2 * count, _LEAST_BUFFER)
        self._blocks: list[_Block] = []
        self._held = 0
        self._floor = np.float32(-np.inf)
        self._scores = np.empty(_TILE_ROWS * _TILE_COLUMNS, np.float32)

    def search(
        self,
        rows_RD: NDArray[Any],
        others_CD: NDArray[Any],
        first_row: int,
        first_other: int | None = None,
        offset_R: Floats | None = None,
        offset_C: Floats | None = None,
    ) -> None:
        """Score a block of rows against others.

        first_row, first_other: the number of each side's first row. With `first_other` both
        sides are one set, and only pairs with the row before the other count.
        """
        left = np.ascontiguousarray(rows_RD, np.float32)
        for start in range(0, len(others_CD), _TILE_COLUMNS):
            right = np.asarray(others_CD[start : start + _TILE_COLUMNS], np.float32)
            scores = self._scores[: len(left) * len(right)].reshape(len(left), len(right))
            np.matmul(left, right.T, out=scores)
            if offset_R is not None:
                scores += offset_R[:, None]
            if offset_C is not None:
                scores += offset_C[start : start + _TILE_COLUMNS]
            row, other = np.nonzero(scores >= self._floor)
            score = scores[row, other]
            row, other = row + first_row, other + start + (first_other or 0)
            if first_other is not None:
                forward = row < other
                row, other, score = row[forward], other[forward], score[forward]
            self._add(row, other, score)

    def pairs(self) -> tuple[Indices, Indices]:
        """Return both sides of the best pairs, in no order."""
        self._shrink()
        row, other, _ = self._joined()
        return row, other

    def _add(self, row: Indices, other: Indices, score: Floats) -> None:
        self._blocks.append((row, other, score))
        self._held += len(row)
        if self._held > self._limit:
            self._shrink()

    def _shrink(self) -> None:
        row, other, score = self._joined()
        if len(score) > self._count:
            best = np.argpartition(-score, self._count - 1)[: self._count]
            row, other, score = row[best], other[best], score[best]
            self._floor = score.min()
        self._blocks, self._held = [(row, other, score)], len(row)

    def _joined(self) -> _Block:
        none = np.empty(0, np.int64)
        blocks: Iterator[tuple[NDArray[Any], ...]] = zip(
            (none, none, np.empty(0, np.float32)), *self._blocks, strict=True
        )
        row, other, score = map(np.concatenate, blocks)
        return row, other, score


def _scored(
    queries_QD: NDArray[Any], references_RD: NDArray[Any], query: Indices, reference: Indices
) -> Candidates:
    score = similarities(queries_QD, query, references_RD, reference)
    return _sorted(query, reference, score)


def _sorted(query: Indices, reference: Indices, score: Floats) -> Candidates:
    order = np.lexsort((reference, -score, query))
    return Candidates(query[order], reference[order], score[order])
