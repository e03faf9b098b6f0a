"""What `sscd fit` learns from a sample of descriptors: their mean and their principal axes.

Shape legend: N rows of the sample, D dimensions, E dimensions that are kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

_ROWS = 8192  # in float64 at once


class Moments:
    """Count, mean and covariance of rows that come block by block.

    Sums are float64 whatever the rows are, so that the order and size of blocks change nothing
    that float32 could show. Memory: D² + 8192·D numbers, however many rows come.
    """

    def __init__(self, dimensions: int) -> None:
        self.count = 0
        self._sum_D = np.zeros(dimensions)
        self._products_DD = np.zeros((dimensions, dimensions))

    def add(self, rows_ND: npt.NDArray[Any]) -> None:
        """Take in some rows, float16 or float32 (N, D)."""
        for start in range(0, len(rows_ND), _ROWS):
            block = rows_ND[start : start + _ROWS].astype(np.float64)
            self.count += len(block)
            self._sum_D += block.sum(axis=0)
            self._products_DD += block.T @ block

    @property
    def mean(self) -> Doubles:
        """float64 (D,); zero before the first row."""
        return self._sum_D / max(1, self.count)

    @property
    def covariance(self) -> Doubles:
        """float64 (D, D), of the rows as a population: divided by N."""
        covariance: Doubles = self._products_DD / max(1, self.count)
        covariance -= np.outer(self.mean, self.mean)
        return covariance


def principal_axes(covariance_DD: Doubles) -> tuple[Doubles, Doubles]:
    """Return the variance along each principal axis, falling, and the axes as rows, (D, D).

    An axis has no natural sign: its largest component is made positive, so that the same sample
    gives the same axes with any linear algebra library.
    """
    variance_D, axes_DD = np.linalg.eigh(covariance_DD)
    variance_D, axes_DD = variance_D[::-1], axes_DD.T[::-1]
    largest = np.abs(axes_DD).argmax(axis=1)[:, None]
    return variance_D, axes_DD * np.sign(np.take_along_axis(axes_DD, largest, axis=1))


def rank(variance_D: Doubles, dtype: npt.DTypeLike) -> int:
    """Return in how many directions a sample of unit vectors varies by more than rounding.

    dtype: in which the sample was stored. A direction whose variance is no larger than what
    rounding to it leaves in every direction says nothing of images.
    """
    step = max(float(np.finfo(dtype).eps), 1e-5)
    return int((variance_D > step**2 / len(variance_D)).sum())


class Sample:
    """At most `size` of the rows that come block by block, each row as likely as any other.

    The choice follows from the seed and the order of the rows, not from the blocks. Memory: twice
    the sample and one block.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._random = np.random.default_rng(seed)
        self._lots: list[Doubles] = []
        self._blocks: list[npt.NDArray[Any]] = []

    def add(self, rows_ND: npt.NDArray[Any]) -> None:
        """Let some rows draw lots; the `size` lowest so far are kept."""
        lots = self._random.random(len(rows_ND))
        lowest = np.sort(np.argsort(lots)[: self._size])
        self._lots.append(lots[lowest])
        self._blocks.append(rows_ND[lowest])
        if sum(map(len, self._lots)) > 2 * self._size:
            self._reduce()

    @property
    def rows(self) -> npt.NDArray[Any]:
        """The rows chosen, in the order in which they came, in their own dtype."""
        self._reduce()
        return self._blocks[0]

    def _reduce(self) -> None:
        lots, rows = np.concatenate(self._lots), np.concatenate(self._blocks)
        lowest = np.sort(np.argsort(lots)[: self._size])
        self._lots, self._blocks = [lots[lowest]], [rows[lowest]]
