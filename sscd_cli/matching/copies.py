"""What a join found, and the clusters that it makes: arrays with an entry a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sscd_cli.matching.join import Bias, Pairs
from sscd_cli.matching.products import Indices
from sscd_cli.matching.recall import Recall


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
