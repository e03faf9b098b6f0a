"""Products in bfloat16 by torch: twice as fast as float32 where the CPU multiplies it.

Rounding an element to bfloat16 changes it by 2^-9 of itself at most, so a product of two rows of
length 1 is off by 2 · 2^-9 (Cauchy and Schwarz), sums are made in float32, and the result is
rounded once more. The cut is lowered by all of it: no pair is lost.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sscd_cli.matching.products import COLUMNS, ROWS, Floats, Rows, shortened_blocks

ERROR = 0.0065  # (2 · 2^-9 + 2^-18) · 1.002 + 2^-9, and some for lengths that are not quite 1


class BFloat16Product:
    """The counterpart of `Float32Product`, for cuts above `ERROR`."""

    def __init__(
        self, left_ND: NDArray[Any], right_MD: NDArray[Any], cut: float, basis: Floats | None
    ) -> None:
        self._left = _whole(left_ND, basis)
        self._right = self._left if right_MD is left_ND else _whole(right_MD, basis)
        self._scores = torch.empty(ROWS * COLUMNS, dtype=torch.bfloat16)
        self._above = np.empty(ROWS * COLUMNS, np.bool_)
        # the bits of positive floats are ordered as integers, which NumPy compares faster;
        # the upper half of a float32 is the next bfloat16 towards zero
        self._cut = np.int16(np.float32(cut - ERROR).view(np.int32) >> 16)

    def above(self, rows: Rows, columns: Rows) -> NDArray[np.bool_]:
        left, right = self._left[rows], self._right[columns]
        shape = len(left), len(right)
        scores = self._scores[: shape[0] * shape[1]].view(shape)
        torch.mm(left, right.T, out=scores)
        above = self._above[: shape[0] * shape[1]].reshape(shape)
        np.greater_equal(scores.view(torch.int16).numpy(), self._cut, out=above)
        return above


def _whole(rows_ND: NDArray[Any], basis: Floats | None) -> torch.Tensor:
    length = rows_ND.shape[1] if basis is None else basis.shape[1] + 1
    whole = torch.empty((len(rows_ND), length), dtype=torch.bfloat16)
    for block, rows in shortened_blocks(rows_ND, basis):
        whole[block] = torch.from_numpy(rows).bfloat16()
    return whole
