"""Blocks of the matrix of all similarities: which of their cells may hold a pair.

The exact join looks at every cell, but multiplies only the first few dimensions. After a
rotation x = (head, tail), and by Cauchy and Schwarz

    x·y = head(x)·head(y) + tail(x)·tail(y) <= head(x)·head(y) + |tail(x)| |tail(y)|.

The right side is one product of shortened rows (head, |tail|). A cell below the cut is no pair,
whatever the data; the others are candidates. The rotation is by principal axes, which put as much
as they can into the head, and the cheapest length follows from a sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sscd_cli.machine import core_count, has_bfloat16

Indices = NDArray[np.int64]
Floats = NDArray[np.float32]
Rows = slice | Indices

ROWS, COLUMNS = 2048, 4096  # of a tile: 32 MiB of float32 scores
_SAMPLE = 1024
_STEP = 32  # lengths to choose from
_BLOCK = 8192
# Of the squared length of a tail, computed as a difference in float32: keeps it an upper bound
_TAIL_ERROR = 1e-6


class Product(Protocol):
    """Shortened rows of two sets and the comparison of their products with a cut."""

    def above(self, rows: Rows, columns: Rows) -> NDArray[np.bool_]:
        """Return which products are at or above the cut, bool (R, C), valid until the next."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Nanoseconds of one core: for each cell, each dimension of a cell, and each candidate."""

    cell: float
    dimension: float
    candidate: float = 1000.0

    def of(self, length: int, share: float) -> float:
        """Return the nanoseconds a cell, where `share` of the cells are candidates."""
        return self.cell + self.dimension * length + self.candidate * share


FLOAT32 = Cost(cell=0.7, dimension=0.0195)  # measured on one core of Zen 4
BFLOAT16 = Cost(cell=0.3, dimension=0.0098)
_LOADING_TORCH = 2e9  # ns
_LEAST_CUT = 0.01  # bfloat16 compares the bits of positive numbers
_FEW_CELLS = 2e7  # multiplied faster than a plan is made


@dataclass(frozen=True, slots=True)
class Plan:
    """How to look at every cell, and what it is expected to take.

    basis: float32 (D, d) to rotate and cut by, None to take all of D. row_bytes: of memory.
    """

    basis: Floats | None
    bfloat16: bool
    seconds: float
    seconds_a_cell: float
    row_bytes: int


def plan(
    left_ND: NDArray[Any],
    right_MD: NDArray[Any],
    cut: float,
    cells: float,
    *,
    bfloat16: bool = True,
) -> Plan:
    """Choose the length and, if bfloat16 may be, the number format by what `cells` cells cost.

    The sample is the same in every run. Whatever the choice, candidates lose no pair.
    """
    if cells < _FEW_CELLS or not len(left_ND) or not len(right_MD):
        a_cell = FLOAT32.of(left_ND.shape[1], 0) / core_count() * 1e-9
        return Plan(None, False, cells * a_cell, a_cell, 4 * left_ND.shape[1])
    axes = _principal_axes(np.concatenate([_sample(left_ND, 0, 2), _sample(right_MD, 1, 2)]))
    left, right = _sample(left_ND, 1, 4) @ axes, _sample(right_MD, 3, 4) @ axes
    shares = {
        length: count / max(1, len(left) * len(right))
        for length, count in _candidate_counts(left, right, cut).items()
    }
    nanoseconds, length = _cheapest(FLOAT32, shares, cells)
    if bfloat16 := bfloat16 and has_bfloat16() and cut > _LEAST_CUT:
        halved = _cheapest(BFLOAT16, shares, cells)
        bfloat16 = halved[0] + _LOADING_TORCH < nanoseconds
        nanoseconds, length = halved if bfloat16 else (nanoseconds, length)
    basis = None if length == len(axes) else np.ascontiguousarray(axes[:, : length - 1])
    seconds = nanoseconds * 1e-9
    return Plan(basis, bfloat16, seconds, seconds / cells, length * (2 if bfloat16 else 4))


def shortened_blocks(rows_ND: NDArray[Any], basis: Floats | None) -> Iterator[tuple[slice, Floats]]:
    """Yield blocks of rows as (head, |tail|), float32, and where they belong."""
    for start in range(0, len(rows_ND), _BLOCK):
        block = slice(start, min(start + _BLOCK, len(rows_ND)))
        rows = rows_ND[block].astype(np.float32)
        if basis is not None:
            head = rows @ basis
            tail = np.einsum("nd,nd->n", rows, rows) - np.einsum("nd,nd->n", head, head)
            tail = np.sqrt(np.maximum(tail, 0) + np.float32(_TAIL_ERROR))
            rows = np.concatenate([head, tail[:, None]], axis=1)
        yield block, rows


class Float32Product:
    """Products in float32 by NumPy, into buffers that are reused.

    Allocating tiles in a loop fragments the heap.
    """

    def __init__(self, left_Nd: Floats, right_Md: Floats, cut: float) -> None:
        self._left, self._right = left_Nd, right_Md
        self._cut = np.float32(cut)
        self._scores = np.empty(ROWS * COLUMNS, np.float32)
        self._above = np.empty(ROWS * COLUMNS, np.bool_)

    def above(self, rows: Rows, columns: Rows) -> NDArray[np.bool_]:
        left, right = self._left[rows], self._right[columns]
        shape = len(left), len(right)
        scores = self._scores[: shape[0] * shape[1]].reshape(shape)
        above = self._above[: shape[0] * shape[1]].reshape(shape)
        np.matmul(left, right.T, out=scores)
        return np.greater_equal(scores, self._cut, out=above)


def shorten(rows_ND: NDArray[Any], basis: Floats | None) -> Floats:
    """Return all rows as (head, |tail|), float32."""
    length = rows_ND.shape[1] if basis is None else basis.shape[1] + 1
    whole = np.empty((len(rows_ND), length), np.float32)
    for block, rows in shortened_blocks(rows_ND, basis):
        whole[block] = rows
    return whole


def _sample(rows_ND: NDArray[Any], part: int, parts: int) -> Floats:
    """Return rows from all over the set; of different parts different ones, if they suffice."""
    step = max(1, len(rows_ND) // (_SAMPLE * parts))
    return rows_ND[part * step :: parts * step][:_SAMPLE].astype(np.float32)


def _principal_axes(rows_ND: Floats) -> Floats:
    """Return the eigenvectors of the second moments, (D, D), the largest first."""
    _, axes = np.linalg.eigh(rows_ND.T.astype(np.float64) @ rows_ND)
    return np.ascontiguousarray(axes[:, ::-1], np.float32)


def _candidate_counts(left: Floats, right: Floats, cut: float) -> dict[int, int]:
    """Return for each length to choose from how many cells of the sample are candidates."""
    dimensions = left.shape[1]
    scores = np.zeros((len(left), len(right)), np.float32)
    squared = (left**2).sum(1), (right**2).sum(1)
    counts = {}
    for stop in range(_STEP, dimensions, _STEP):
        # one of the columns of the product is taken by the tails
        part = slice(max(stop - _STEP - 1, 0), stop - 1)
        scores += left[:, part] @ right[:, part].T
        squared[0][:] -= (left[:, part] ** 2).sum(1)
        squared[1][:] -= (right[:, part] ** 2).sum(1)
        tails = np.sqrt(np.maximum(squared[0], 0)), np.sqrt(np.maximum(squared[1], 0))
        counts[stop] = int(np.count_nonzero(scores + np.outer(*tails) >= cut))
    counts[dimensions] = int(np.count_nonzero(left @ right.T >= cut))
    return counts


def _cheapest(cost: Cost, shares: dict[int, float], cells: float) -> tuple[float, int]:
    """Return the nanoseconds of the cheapest length, and the length."""
    return min((cells * cost.of(n, share) / core_count(), n) for n, share in shares.items())
