"""Blocks of the matrix of all similarities: which of their cells may hold a pair.

The exact join looks at every cell, but multiplies only the first few dimensions. After a
rotation x = (head, tail), and by Cauchy and Schwarz

    x·y = head(x)·head(y) + tail(x)·tail(y) <= head(x)·head(y) + |tail(x)| |tail(y)|.

The right side is one product of shortened rows (head, |tail|). A cell below the cut is no pair,
whatever the data; the others are candidates. The rotation is by principal axes, which put as much
as they can into the head, and the cheapest length follows from a sample. Where some pairs may be
missed, `sketches` are shorter still.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sscd_cli.machines.hardware import core_count, has_bfloat16
from sscd_cli.matching.sketches import LENGTHS, random_axes, sketch_cut

Indices = NDArray[np.int64]
Floats = NDArray[np.float32]
RowNumbers = slice | Indices

ROWS, COLUMNS = 1024, 2048  # of a tile: its scores stay in the cache
_SAMPLE = 1024
_SAMPLE_PARTNERS = 64  # of each row
_STEP = 32  # lengths to choose from
_BLOCK = 2048  # rows or pairs that are worked out at once, 4 MB of 512 numbers
# Of the squared length of a tail, computed as a difference in float32: keeps it an upper bound
_TAIL_ERROR = 1e-6


class Product(Protocol):
    """Shortened rows of two sets and the comparison of their products with a cut."""

    def above(self, rows: RowNumbers, columns: RowNumbers) -> NDArray[np.bool_]:
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
BFLOAT16 = Cost(cell=0.2, dimension=0.0092)
_ROW = 5000.0  # to shorten one
LOADING_TORCH = 1.5  # seconds
_LEAST_CUT = 0.01  # bfloat16 compares the bits of positive numbers
_SEED = 320
_FEW_CELLS = 2e7  # multiplied faster than a plan is made


@dataclass(frozen=True, slots=True)
class Comparison:
    """How rows are compared, and what comparing so many is expected to take.

    basis: float32 (D, d) to rotate and cut by, None to take all of D. length: of a shortened row.
    sketch: scale the heads to length 1 instead of bounding the rest.
    """

    basis: Floats | None
    length: int
    bfloat16: bool
    seconds: float
    sketch: bool = False

    @property
    def row_bytes(self) -> int:
        """Memory a row."""
        return self.length * (2 if self.bfloat16 else 4)

    def product_cut(self, cut: float) -> float:
        """Return what the product of two shortened rows reaches if the rows' reaches `cut`."""
        if not self.sketch or self.basis is None:
            return cut
        return sketch_cut(cut, self.length, len(self.basis))


def plan(left_ND: NDArray[Any], right_MD: NDArray[Any], cut: float, cells: float) -> Comparison:
    """Choose the length and the number format by what `cells` cells cost; no pair is lost.

    The sample is the same in every run.
    """
    rows, dimensions = len(left_ND) + len(right_MD), left_ND.shape[1]
    if cells < _FEW_CELLS or not len(left_ND) or not len(right_MD):
        seconds = cells * FLOAT32.of(dimensions, 0) / core_count() * 1e-9
        return Comparison(None, dimensions, False, seconds)
    axes = _principal_axes(np.concatenate([_sample(left_ND, 0, 2), _sample(right_MD, 1, 2)]))
    left, right = _sample(left_ND, 1, 4) @ axes, _sample(right_MD, 3, 4) @ axes
    shares = _candidate_shares(left, right, cut)
    seconds, length, bfloat16 = _cheapest(shares, cells, rows, allow_bfloat16=cut > _LEAST_CUT)
    basis = None if length == dimensions else np.ascontiguousarray(axes[:, : length - 1])
    return Comparison(basis, length, bfloat16, seconds)


def plan_sketches(
    rows_ND: NDArray[Any], cut: float, cells: float, sample: PairSample | None = None
) -> Comparison | None:
    """Choose the length of sketches and the number format by what `cells` cells cost.

    Args: sample: of the pairs that will be compared; by default, of all.
    Returns: None where no sketch tells pairs from strangers: at a low cut.
    """
    dimensions = rows_ND.shape[1]
    cuts = {n: sketch_cut(cut, n, dimensions) for n in LENGTHS if n < dimensions}
    cuts = {length: least for length, least in cuts.items() if least > _LEAST_CUT}
    if not cuts or not len(rows_ND):
        return None
    axes = random_axes(dimensions, max(cuts), _SEED)
    shares = _sketch_shares(sample or PairSample.of(rows_ND), axes, cuts)
    seconds, length, bfloat16 = _cheapest(shares, cells, 2 * len(rows_ND), allow_bfloat16=True)
    basis = np.ascontiguousarray(axes[:, :length])
    return Comparison(basis, length, bfloat16, seconds, sketch=True)


@dataclass(frozen=True, slots=True)
class PairSample:
    """Some rows, float32 (S, D), and pairs of them, int64 (P,)."""

    rows: Floats
    left: Indices
    right: Indices

    @classmethod
    def of(cls, rows_ND: NDArray[Any]) -> PairSample:
        """Return pairs from all over the set."""
        rows = _sample(rows_ND, 0, 1)
        left = np.tile(np.arange(len(rows)), _SAMPLE_PARTNERS)
        shift = np.repeat(np.arange(1, 1 + _SAMPLE_PARTNERS), len(rows))
        return cls(rows, left, (left + shift) % len(rows))


def unit(rows_ND: Floats) -> Floats:
    """Return rows scaled to length 1; a row of zeros stays one."""
    lengths = np.sqrt(np.einsum("nd,nd->n", rows_ND, rows_ND))[:, None]
    scaled: Floats = rows_ND / np.maximum(lengths, np.float32(1e-30))
    return scaled


def shortened_blocks(rows_ND: NDArray[Any], how: Comparison) -> Iterator[tuple[slice, Floats]]:
    """Yield blocks of rows, shortened as planned, float32, and where they belong."""
    for start in range(0, len(rows_ND), _BLOCK):
        block = slice(start, min(start + _BLOCK, len(rows_ND)))
        rows = rows_ND[block].astype(np.float32)
        if how.sketch and how.basis is not None:
            rows = unit(rows @ how.basis)
        elif how.basis is not None:
            head = rows @ how.basis
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

    def above(self, rows: RowNumbers, columns: RowNumbers) -> NDArray[np.bool_]:
        left, right = self._left[rows], self._right[columns]
        shape = len(left), len(right)
        scores = self._scores[: shape[0] * shape[1]].reshape(shape)
        above = self._above[: shape[0] * shape[1]].reshape(shape)
        np.matmul(left, right.T, out=scores)
        return np.greater_equal(scores, self._cut, out=above)


def shorten(rows_ND: NDArray[Any], how: Comparison) -> Floats:
    """Return all rows shortened as planned, float32."""
    whole = np.empty((len(rows_ND), how.length), np.float32)
    for block, rows in shortened_blocks(rows_ND, how):
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


def _candidate_shares(left: Floats, right: Floats, cut: float) -> dict[int, float]:
    """Return for each length to choose from which share of the cells of the sample is above."""
    dimensions = left.shape[1]
    scores = np.zeros((len(left), len(right)), np.float32)
    squared = (left**2).sum(1), (right**2).sum(1)
    shares = {}
    for stop in range(_STEP, dimensions, _STEP):
        # one of the columns of the product is taken by the tails
        part = slice(max(stop - _STEP - 1, 0), stop - 1)
        scores += left[:, part] @ right[:, part].T
        squared[0][:] -= (left[:, part] ** 2).sum(1)
        squared[1][:] -= (right[:, part] ** 2).sum(1)
        tails = np.sqrt(np.maximum(squared[0], 0)), np.sqrt(np.maximum(squared[1], 0))
        shares[stop] = float((scores + np.outer(*tails) >= cut).mean())
    shares[dimensions] = float((left @ right.T >= cut).mean())
    return shares


def _sketch_shares(sample: PairSample, axes: Floats, cuts: dict[int, float]) -> dict[int, float]:
    """Return for each length which share of the pairs of a sample reaches its cut."""
    heads = sample.rows @ axes
    scores = np.zeros(len(sample.left), np.float32)
    squared = np.full(len(heads), 1e-30, np.float32)
    shares, start = {}, 0
    for length, least in sorted(cuts.items()):
        part = heads[:, start:length]
        for block in (slice(at, at + _BLOCK) for at in range(0, len(scores), _BLOCK)):
            left, right = part[sample.left[block]], part[sample.right[block]]
            scores[block] += np.einsum("pd,pd->p", left, right)
        squared += np.einsum("nd,nd->n", part, part)
        lengths = np.sqrt(squared)
        cosines = scores / (lengths[sample.left] * lengths[sample.right])
        shares[length] = float((cosines >= least).mean())
        start = length
    return shares


def _cheapest(
    shares: dict[int, float], cells: float, rows: int, allow_bfloat16: bool
) -> tuple[float, int, bool]:
    """Return the seconds of the cheapest length, the length, and whether in bfloat16."""
    formats = [(FLOAT32, 0.0, False)]
    if allow_bfloat16 and has_bfloat16():
        formats.append((BFLOAT16, LOADING_TORCH, True))
    return min(
        (fixed + (cells * cost.of(n, share) + rows * _ROW) * 1e-9 / core_count(), n, halved)
        for cost, fixed, halved in formats
        for n, share in shares.items()
    )
