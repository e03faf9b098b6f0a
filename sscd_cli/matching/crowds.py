"""Sets with more pairs than memory holds: a logo in 100,000 slightly different files.

Of g near-copies no g²/2 pairs are kept, but a maximum spanning forest, N - 1 pairs at most. It has
the same components and the same weakest links. What the linkage "leader" needs besides, who is
a copy of whom among the kept, is looked up in the descriptors again. Exact throughout, but for
links that differ by less than float32 tells apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.matching.cells import Cells, cells_within
from sscd_cli.matching.forest import labels, spanning_forest
from sscd_cli.matching.join import MARGIN, Pairs, cross_pairs, find_pairs, merged, similarities
from sscd_cli.matching.linkage import by_leader
from sscd_cli.matching.products import Indices, plan

_DENSE = 4  # times as many marked cells as rows and columns: a block worth thinning
_HELD = 4_000_000  # pairs, beside 4 a row, before they are thinned
_NEAR = 1e-5  # of the threshold, where a product in float32 may be on the wrong side
_BLOCK = 512


def forest_of(
    descriptors_ND: NDArray[Any], threshold: float, blocks: Iterable[Cells] | None = None
) -> Pairs:
    """Return a maximum spanning forest of the pairs at or above `threshold`.

    Args: blocks: where to look for pairs, by default everywhere.
    Memory: 80 bytes a row, 500 MB, and the shortened rows of the join. Time: that of the exact
    join, and some 0.2 s for each block of 2,048 by 4,096 cells that is full of pairs.
    """
    count = len(descriptors_ND)
    if blocks is None:
        how = plan(descriptors_ND, descriptors_ND, threshold - MARGIN, count**2 / 2)
        blocks = cells_within(descriptors_ND, threshold - MARGIN, how)
    held = [Pairs.none()]
    waiting = 0
    for block in blocks:
        held.append(pairs_of(block, descriptors_ND, threshold))
        waiting += len(held[-1])
        if waiting > _HELD + 4 * count:
            held, waiting = [spanning_forest(count, merged(held))], 0
    return spanning_forest(count, merged(held))


def leaders(
    descriptors_ND: NDArray[Any], component_N: Indices, rank_N: Indices, threshold: float
) -> Indices:
    """Return the keeper of each row under the linkage "leader", as `linkage.by_leader`.

    Memory: the pairs of 512 rows with those that are kept of their component.
    """
    keeper = np.arange(len(rank_N))
    rows = np.flatnonzero(component_N >= 0)
    rows = rows[np.lexsort((rank_N[rows], component_N[rows]))]
    starts = np.flatnonzero(np.diff(component_N[rows], prepend=-1))
    for members in np.split(rows, starts[1:]):
        kept = _kept(descriptors_ND, members, threshold)
        others = members[~np.isin(members, kept)]
        for start in range(0, len(others), _BLOCK):
            block = others[start : start + _BLOCK]
            pairs = cross_pairs(descriptors_ND[block], descriptors_ND[kept], threshold)
            # the most similar, of equals the best-ranked, which `kept` names first
            order = np.lexsort((pairs.right, -pairs.similarity, pairs.left))
            copy, best = np.unique(pairs.left[order], return_index=True)
            keeper[block[copy]] = kept[pairs.right[order][best]]
    return keeper


def _kept(descriptors_ND: NDArray[Any], members: Indices, threshold: float) -> Indices:
    """Return which of some rows, best rank first, are in no pair with one kept before."""
    kept = np.empty(0, np.int64)
    for start in range(0, len(members), _BLOCK):
        block = members[start : start + _BLOCK]
        known = cross_pairs(descriptors_ND[block], descriptors_ND[kept], threshold)
        free = np.ones(len(block), np.bool_)
        free[known.left] = False
        block = block[free]
        places = np.arange(len(block))
        pairs = find_pairs(descriptors_ND[block], threshold, "exact")
        kept = np.concatenate([kept, block[by_leader(pairs, places) == places]])
    return kept


def pairs_of(block: Cells, descriptors_ND: NDArray[Any], threshold: float) -> Pairs:
    """Return all pairs of a block, or, where they are many, some that span the same."""
    if np.count_nonzero(block.above) > _DENSE * sum(block.above.shape):
        left, right = _spanning_cells(block, descriptors_ND, threshold)
    else:
        left, right = block.marked()
    similarity = similarities(descriptors_ND, left, descriptors_ND, right)
    return Pairs(left, right, similarity).chosen(similarity >= np.float32(threshold))


def _spanning_cells(
    block: Cells, descriptors_ND: NDArray[Any], threshold: float
) -> tuple[Indices, Indices]:
    """Return cells that hold a maximum spanning forest of the pairs of a block.

    By Borůvka's algorithm: the strongest pair of each row and column with another component,
    until there are none.
    """
    scores = scores_of(block, descriptors_ND, threshold)
    rows, place = np.unique(np.concatenate([block.left, block.right]), return_inverse=True)
    ends = place[: len(block.left)], place[len(block.left) :]
    chosen = np.empty((0, 2), np.int64)
    while True:
        best = scores.argmax(axis=1), scores.argmax(axis=0)
        cells = np.concatenate(
            [
                np.stack([np.arange(len(best[0])), best[0]], axis=1),
                np.stack([best[1], np.arange(len(best[1]))], axis=1),
            ]
        )
        cells = np.unique(cells[scores[cells[:, 0], cells[:, 1]] > -np.inf], axis=0)
        if not len(cells):
            return block.left[chosen[:, 0]], block.right[chosen[:, 1]]
        chosen = np.concatenate([chosen, cells])
        left, right = ends[0][chosen[:, 0]], ends[1][chosen[:, 1]]
        component = labels(len(rows), left, right)
        scores[component[ends[0]][:, None] == component[ends[1]]] = -np.inf


def scores_of(block: Cells, descriptors_ND: NDArray[Any], threshold: float) -> NDArray[np.float32]:
    """Return the similarities of a block's pairs, float32 (R, C), -inf where there is none."""
    left, right = (descriptors_ND[rows].astype(np.float32) for rows in (block.left, block.right))
    scores: NDArray[np.float32] = left @ right.T
    scores[~block.above | (scores < threshold - _NEAR)] = -np.inf
    doubtful = np.flatnonzero(np.abs(scores - np.float32(threshold)) <= 2 * _NEAR)
    row, column = np.divmod(doubtful, scores.shape[1])
    exact = similarities(descriptors_ND, block.left[row], descriptors_ND, block.right[column])
    scores.flat[doubtful] = np.where(exact >= np.float32(threshold), exact, -np.inf)
    return scores
