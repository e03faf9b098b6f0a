"""All cells of the matrix of similarities, block by block, by the product that was planned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.matching.products import (
    COLUMNS,
    ROWS,
    Comparison,
    Float32Product,
    Indices,
    Product,
    RowNumbers,
    shorten,
)


@dataclass(frozen=True, slots=True)
class Cells:
    """A block of the matrix: bool `above` (R, C) marks the cells of rows `left`, `right`."""

    left: Indices
    right: Indices
    above: NDArray[np.bool_]

    def marked(self) -> tuple[Indices, Indices]:
        """Return the row numbers (left, right) of the marked cells."""
        rows = np.flatnonzero(self.above.any(axis=1))  # most rows have none
        # 40 times as fast as np.nonzero of a matrix
        row, column = np.divmod(np.flatnonzero(self.above[rows]), self.above.shape[1])
        return self.left[rows[row]], self.right[column]


def cells_within(rows_ND: NDArray[Any], cut: float, how: Comparison) -> Iterator[Cells]:
    """Yield the upper triangle: each block against itself and those after."""
    yield from triangle(product_of(rows_ND, rows_ND, cut, how), np.arange(len(rows_ND)))


def tiles_within(count: int) -> int:
    """Return how many blocks `cells_within` yields for so many rows."""
    return sum(-(-(count - start) // COLUMNS) for start in range(0, count, ROWS))


def triangle(product: Product, rows: Indices) -> Iterator[Cells]:
    """Yield the tiles among some rows, ascending: each block with itself and those after."""
    for start in range(0, len(rows), ROWS):
        left = rows[start : start + ROWS]
        for other in range(start, len(rows), COLUMNS):
            right = rows[other : other + COLUMNS]
            above = product.above(_as_slice(left), _as_slice(right))
            if other < start + ROWS:
                above &= left[:, None] < right
            yield Cells(left, right, above)


def cells_across(
    left_ND: NDArray[Any], right_MD: NDArray[Any], cut: float, how: Comparison
) -> Iterator[Cells]:
    """Yield each block of one set against each block of the other."""
    product = product_of(left_ND, right_MD, cut, how)
    yield from rectangle(product, np.arange(len(left_ND)), np.arange(len(right_MD)))


def rectangle(product: Product, rows: Indices, columns: Indices) -> Iterator[Cells]:
    """Yield the tiles of some rows of one set, ascending, with some of the other."""
    for start in range(0, len(rows), ROWS):
        left = rows[start : start + ROWS]
        for other in range(0, len(columns), COLUMNS):
            right = columns[other : other + COLUMNS]
            yield Cells(left, right, product.above(_as_slice(left), _as_slice(right)))


def product_of(
    left_ND: NDArray[Any], right_MD: NDArray[Any], cut: float, how: Comparison
) -> Product:
    """Shorten the rows of both sets as planned, once. cut: of the rows themselves."""
    cut = how.product_cut(cut)
    if how.bfloat16:
        from sscd_cli.matching.torch_products import TorchProduct

        return TorchProduct(left_ND, right_MD, cut, how)
    left = shorten(left_ND, how)
    right = left if right_MD is left_ND else shorten(right_MD, how)
    return Float32Product(left, right, cut)


def _as_slice(rows: Indices) -> RowNumbers:
    """Return consecutive rows as a slice, which copies nothing."""
    consecutive = rows[-1] - rows[0] == len(rows) - 1
    return slice(int(rows[0]), int(rows[-1]) + 1) if consecutive else rows
