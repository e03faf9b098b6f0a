"""The cells of a tile within coarse groups: rows meet only where they lie in the same direction.

The groups are those of `groups`. They do not depend on the rows, so that blocks which were grouped
on different machines fit together. How many groups a row joins, `choices`, is one number for all
tiles of a join: the smallest that finds enough of the pairs of a sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.matching.cells import Cells, product_of, rectangle, triangle
from sscd_cli.matching.copies import Recall
from sscd_cli.matching.groups import (
    MOST_CHOICES,
    directions,
    members_of_groups,
    needed_choices,
    simulated_pairs,
)
from sscd_cli.matching.join import Pairs, cross_pairs
from sscd_cli.matching.products import Indices, Product, plan

SIDE = 256  # 65,536 groups: of more choices in more groups, the best for their price
_ENOUGH = 100  # pairs of a sample, to believe what share of them is found
_MOST = 10_000  # pairs of a sample and a block, of which a share is taken
_FULL = 64  # times as many cells as the mean: a group worth joining with its like
_FEW = 1 << 12  # cells that are no matter


@dataclass(frozen=True, slots=True)
class Grouped:
    """Some rows by group: those of group g, ascending, are members[starts[g]:starts[g + 1]].

    members: int32 (M · choices,). starts: int64 (SIDE² + 1,).
    """

    members: NDArray[np.int32]
    starts: Indices

    @classmethod
    def of(cls, rows_MD: NDArray[Any], choices: int) -> Grouped:
        """Let each row join its groups. Memory: 22 bytes a choice of each row, 4 of them kept."""
        return cls(*members_of_groups(rows_MD, SIDE, choices))

    @property
    def sizes(self) -> Indices:
        """How many rows each group has, int64 (SIDE²,)."""
        return np.diff(self.starts)

    def rows(self, group: int) -> Indices:
        """Return the rows of a group, int64, ascending."""
        return self.members[self.starts[group] : self.starts[group + 1]].astype(np.int64)

    def crowd(self, full: NDArray[np.bool_]) -> Indices:
        """Return the rows of all marked groups, int64, ascending."""
        return np.unique(self.members[np.repeat(full, self.sizes)]).astype(np.int64)


def cells_in_groups(
    rows: tuple[NDArray[Any], NDArray[Any]], groups: tuple[Grouped, Grouped], cut: float
) -> Iterator[Cells]:
    """Yield blocks of cells of two sets of rows that have a group in common, many repeatedly.

    Both sets may be one, whose upper triangle is then meant. Groups that are too full (thousands
    of near-copies, who share all their groups) are joined as one, if that is cheaper.
    """
    same = groups[0] is groups[1]
    cells = groups[0].sizes * groups[1].sizes
    how = plan(*rows, cut, float(cells.sum()) / (2 if same else 1))
    product = product_of(*rows, cut, how)
    full = cells > max(_FEW, _FULL * cells.mean())
    crowds = groups[0].crowd(full), groups[1].crowd(full)
    if len(crowds[0]) * len(crowds[1]) < cells[full].sum():
        yield from _block(product, *crowds, same)
    else:
        full[:] = False
    for group in np.flatnonzero((cells > same) & ~full).tolist():
        yield from _block(product, groups[0].rows(group), groups[1].rows(group), same)


def _block(product: Product, rows: Indices, columns: Indices, same: bool) -> Iterator[Cells]:
    return triangle(product, rows) if same else rectangle(product, rows, columns)


def sampled_choices(
    sample_SD: NDArray[Any], blocks: Iterable[NDArray[Any]], threshold: float, wanted: float
) -> tuple[int | None, Recall]:
    """Return how many groups a row must join for `wanted` of the pairs, and how many it finds.

    The pairs are those of a sample with all rows, by brute force, but for identical rows; of a
    crowd's only some. They may be few. So it must also be enough for pairs that are drawn with
    the same similarities, or where there are too few to tell, right at the threshold.
    Args: blocks: all rows, float16 or float32 (M, D) each. wanted: below 1.
    Returns: None where no number of groups is enough: all cells must be looked at.
    """
    axes = directions(SIDE, sample_SD.shape[1])
    needed, cosines = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    for rows_MD in blocks:
        pairs = _some_pairs(sample_SD, rows_MD, threshold)
        needed.append(needed_choices(sample_SD[pairs.left], rows_MD[pairs.right], axes))
        cosines.append(pairs.similarity)
    there, cosine = np.concatenate(needed), np.concatenate(cosines)
    alike = cosine if len(there) >= _ENOUGH else np.array([threshold])
    drawn = needed_choices(*simulated_pairs(alike, sample_SD.shape[1]), axes)
    both = [some for some in (there, drawn) if len(some)]
    choices = max(int(np.quantile(some, wanted, method="higher")) for some in both)
    if choices > MOST_CHOICES:
        return None, Recall(len(there), len(there))
    return choices, Recall(int((there <= choices).sum()), len(there))


def _some_pairs(sample_SD: NDArray[Any], rows_MD: NDArray[Any], threshold: float) -> Pairs:
    """Return the pairs of rows that differ, or some of them that are many."""
    pairs = cross_pairs(sample_SD, rows_MD, threshold)
    differ = np.flatnonzero(pairs.similarity < 1)
    return pairs.chosen(differ[:: 1 + len(differ) // _MOST])
