"""Who stands for whom: each row's keeper under the three linkages.

All take `rank_N`, int64 (N,), a permutation of 0..N-1 where the smallest is kept first, and
return the keeper of each row, int64 (N,), itself where the row is kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sscd_cli.matching.forest import strongest
from sscd_cli.matching.join import Pairs
from sscd_cli.matching.products import Indices


def by_component(component_N: Indices, rank_N: Indices) -> Indices:
    """Keep the best-ranked row of each component, however far the others are from it."""
    keeper = np.arange(len(rank_N))
    member = np.flatnonzero(component_N >= 0)
    best = np.full(len(rank_N), len(rank_N))
    np.minimum.at(best, component_N[member], rank_N[member])
    keeper[member] = np.argsort(rank_N)[best[component_N[member]]]
    return keeper


def by_leader(pairs: Pairs, rank_N: Indices) -> Indices:
    """Keep, best rank first, every row that is in no pair with a row kept before it.

    Every other row is in a pair with at least one kept row; its keeper is the most similar of
    them, the best-ranked of equals.
    """
    keeper = np.arange(len(rank_N))
    covered = _covered(pairs, rank_N)[rank_N]
    edge = np.flatnonzero(covered[pairs.left] != covered[pairs.right])
    left, right = pairs.left[edge], pairs.right[edge]
    copy = np.where(covered[left], left, right)
    original = left + right - copy
    best = strongest((copy,), pairs.similarity[edge], rank_N[original], len(rank_N))
    keeper[covered] = np.argsort(rank_N)[best[covered]]
    return keeper


def by_complete_link(pairs: Pairs, rank_N: Indices) -> Indices:
    """Keep one row of each group in which every two rows are a pair.

    Best rank first, every row not yet in a group opens one and takes its free partners, the
    most similar first (of equals the best-ranked), each if it is in a pair with all members.
    """
    partner, similarity, starts = _partners(pairs, rank_N)
    head_of = np.arange(len(rank_N))
    taken = np.zeros(len(rank_N), np.bool_)
    met = np.full(len(rank_N), -1)  # the last member that was in a pair with the row
    for head in np.flatnonzero(np.diff(starts)).tolist():
        if taken[head]:
            continue
        taken[head] = True
        edges = slice(starts[head], starts[head + 1])
        free = ~taken[partner[edges]]
        waiting, strength = partner[edges][free], similarity[edges][free]
        waiting = waiting[np.lexsort((waiting, -strength))]
        while len(waiting):
            member = waiting[0]
            taken[member] = True
            head_of[member] = head
            met[partner[starts[member] : starts[member + 1]]] = member
            waiting = waiting[met[waiting] == member]
    by_rank: Indices = np.argsort(rank_N)
    return by_rank[head_of[rank_N]]


def _covered(pairs: Pairs, rank_N: Indices) -> NDArray[np.bool_]:
    """Return, by rank, whether a row is in a pair with a kept row of better rank."""
    better = np.minimum(rank_N[pairs.left], rank_N[pairs.right])
    worse = rank_N[pairs.left] + rank_N[pairs.right] - better
    order = np.argsort(better, kind="stable")
    worse = worse[order]
    heads, starts = np.unique(better[order], return_index=True)
    bounds = [*starts.tolist(), len(worse)]
    covered = np.zeros(len(rank_N), np.bool_)
    is_covered = covered.data  # reads one element several times faster than the array does
    for head, start, stop in zip(heads.tolist(), bounds[:-1], bounds[1:], strict=True):
        if not is_covered[head]:
            covered[worse[start:stop]] = True
    return covered


def _partners(pairs: Pairs, rank_N: Indices) -> tuple[Indices, NDArray[np.float32], Indices]:
    """Return the pairs as a compressed sparse matrix over ranks, in both directions.

    Returns: partner, int64 (2 P,), and similarity, float32 (2 P,): those of rank r lie in
        starts[r]:starts[r + 1]; starts, int64 (N + 1,).
    """
    one, other = rank_N[pairs.left], rank_N[pairs.right]
    row = np.concatenate([one, other])
    order = np.argsort(row, kind="stable")
    starts = np.searchsorted(row[order], np.arange(len(rank_N) + 1))
    partner = np.concatenate([other, one])[order]
    return partner, np.concatenate([pairs.similarity, pairs.similarity])[order], starts
