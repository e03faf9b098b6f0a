"""Products by torch: in bfloat16, and of many groups of rows at once.

bfloat16 is twice as fast as float32 where the CPU multiplies it. Rounding an element to it changes
the element by 2^-9 of itself at most, so a product of two rows of length 1 is off by 2 · 2^-9
(Cauchy and Schwarz), sums are made in float32, and the result is rounded once more. The cut is
lowered by all of it: no pair is lost.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sscd_cli.matching.products import Comparison, RowNumbers, shortened_blocks

ERROR = 0.0065  # (2 · 2^-9 + 2^-18) · 1.002 + 2^-9, and some for lengths that are not quite 1


class TorchProduct:
    """The counterpart of `Float32Product`; in bfloat16 for cuts above `ERROR`."""

    def __init__(
        self, left_ND: NDArray[Any], right_MD: NDArray[Any], cut: float, how: Comparison
    ) -> None:
        self._left = _whole(left_ND, how)
        self._right = self._left if right_MD is left_ND else _whole(right_MD, how)
        self._scores = torch.empty(0, dtype=self._left.dtype)
        self._above = np.empty(0, np.bool_)
        self._cut = _upper_half(cut - ERROR) if how.bfloat16 else np.float32(cut)

    def above(self, rows: RowNumbers, columns: RowNumbers) -> NDArray[np.bool_]:
        left, right = self._left[rows], self._right[columns]
        scores, above = self._buffers((len(left), len(right)))
        torch.mm(left, right.T, out=scores)
        return self._compared(scores, above)

    def above_within(self, groups_Gn: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return which products of the rows of each group with later ones are above the cut.

        Args: groups_Gn: rows of the left set; its length stands for no row.
        Returns: bool (G, n, n), valid until the next.
        """
        groups, size = groups_Gn.shape
        rows = self._left.index_select(0, torch.from_numpy(groups_Gn.ravel()))
        rows = rows.view(groups, size, -1)
        scores, above = self._buffers((groups, size, size))
        torch.bmm(rows, rows.transpose(1, 2), out=scores)
        marked = self._compared(scores, above)
        marked &= np.triu(np.ones((size, size), np.bool_), 1)
        return marked

    def _buffers(self, shape: tuple[int, ...]) -> tuple[torch.Tensor, NDArray[np.bool_]]:
        """Return room for scores and marks, reused: allocating in a loop fragments the heap."""
        cells = int(np.prod(shape))
        if cells > len(self._scores):
            self._scores = self._scores.new_empty(cells)
            self._above = np.empty(cells, np.bool_)
        return self._scores[:cells].view(shape), self._above[:cells].reshape(shape)

    def _compared(self, scores: torch.Tensor, above: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if scores.dtype == torch.bfloat16:
            # the bits of positive floats are ordered as integers, which NumPy compares faster
            scores = scores.view(torch.int16)
        np.greater_equal(scores.numpy(), self._cut, out=above)
        return above


def _upper_half(value: float) -> np.int16:
    """Return the upper half of a float32: the bits of the next bfloat16 towards zero."""
    return np.int16(np.float32(value).view(np.int32) >> 16)


def _whole(rows_ND: NDArray[Any], how: Comparison) -> torch.Tensor:
    """Return all rows shortened as planned, and one of zeros."""
    dtype = torch.bfloat16 if how.bfloat16 else torch.float32
    whole = torch.zeros((len(rows_ND) + 1, how.length), dtype=dtype)
    for block, rows in shortened_blocks(rows_ND, how):
        whole[block] = torch.from_numpy(rows)
    return whole
