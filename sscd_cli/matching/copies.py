"""What a join found, and the clusters that it makes: arrays with an entry a row."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.matching.join import Bias, Pairs, cross_pairs, least_cosine
from sscd_cli.matching.products import Indices


@dataclass(frozen=True, slots=True)
class Copies:
    """Which rows are copies of which: all that clusters need, whoever is kept or left out.

    group: int64 (N,), rows of one group are identical, byte for byte. pairs: between groups.
    recall: of the pairs, where an approximate method found them. bias: float32 (N,), what is
    taken from the similarities of each row, if anything (see `find_pairs`). forest_at: the
    threshold, if the pairs are too many and only a spanning forest of them is here.
    """

    group: Indices
    pairs: Pairs
    recall: Recall | None = None
    bias: Bias | None = None
    forest_at: float | None = None

    @property
    def rows(self) -> NDArray[np.bool_]:
        """bool (N,): rows that have a copy."""
        has_copy = np.bincount(self.group) > 1
        has_copy[self.pairs.left] = True
        has_copy[self.pairs.right] = True
        return has_copy[self.group]


@dataclass(frozen=True, slots=True)
class Clusters:
    """One entry a row, in the order of the descriptors.

    component: int64 (N,), smallest row number of the connected component, -1 if alone.
    keeper: int64 (N,), the row that stays for this one; itself where it is kept.
    look_at: bool (N,), rows that stay, too, but resemble their keeper.
    similarity: float32 (N,), to the keeper, 1.0 to itself.
    weakest_link: float32 (N,), smallest edge of the component's maximum spanning tree, 1.0 if
        alone: far below the others it betrays a chain.
    Both less the biases of the rows where the copies have some.
    """

    component: Indices
    keeper: Indices
    similarity: NDArray[np.float32]
    weakest_link: NDArray[np.float32]
    look_at: NDArray[np.bool_]

    @property
    def clustered(self) -> NDArray[np.bool_]:
        """bool (N,): rows that are not alone."""
        return self.component >= 0

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return len(np.unique(self.component[self.clustered]))

    @property
    def removable(self) -> NDArray[np.bool_]:
        """bool (N,): rows that another row stands for."""
        rows = np.arange(len(self.keeper))
        return np.not_equal(self.keeper, rows) & ~self.look_at

    def with_look_at(self, rows: Indices | NDArray[np.bool_]) -> Clusters:
        """Return the same with more rows that stay, to be looked at beside their keepers."""
        look_at = self.look_at.copy()
        look_at[rows] = True
        return replace(self, look_at=look_at)


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
