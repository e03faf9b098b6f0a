"""What share of the pairs a join found, measured on a sample of rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.matching.join import Bias, Pairs, cross_pairs, least_cosine

SAMPLE_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class Recall:
    """`found` of the `expected` pairs that brute force finds at the sampled rows."""

    found: int
    expected: int

    @property
    def share(self) -> float:
        """found / expected; 1.0 where there was nothing to find."""
        return self.found / self.expected if self.expected else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the share (Wilson 1927), pairs taken as independent."""
        if not self.expected:
            return 0.0, 1.0
        z, n = 1.96, self.expected
        centre = (self.share + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(self.share * (1 - self.share) / n + (z / (2 * n)) ** 2)
        half /= 1 + z * z / n
        return max(0.0, centre - half), min(1.0, centre + half)


def sampled_recall(
    descriptors_ND: NDArray[Any],
    pairs: Pairs,
    threshold: float,
    bias_N: Bias | None = None,
    rows: int = SAMPLE_ROWS,
) -> Recall:
    """Compare `pairs`, as `find_pairs` returns them, with brute force at `rows` random rows.

    The sample is the same in every run. Costs rows x N products.
    """
    count = len(descriptors_ND)
    generator = np.random.default_rng(count)
    sample = np.sort(generator.choice(count, min(rows, count), replace=False))
    least = least_cosine(threshold, bias_N)
    truth = cross_pairs(descriptors_ND[sample], descriptors_ND, least)
    one, other = sample[truth.left], truth.right
    similarity = truth.similarity
    if bias_N is not None:
        similarity -= np.float32(0.5) * (bias_N[one] + bias_N[other])
    keys = np.minimum(one, other) * count + np.maximum(one, other)
    expected = np.unique(keys[(one != other) & (similarity >= np.float32(threshold))])
    found = np.isin(expected, pairs.left * count + pairs.right, assume_unique=True)
    return Recall(int(found.sum()), len(expected))
