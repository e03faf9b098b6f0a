"""Connected components and their weakest links, by Borůvka's algorithm on whole arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sscd_cli.matching.join import Pairs
from sscd_cli.matching.products import Indices


def components(count: int, pairs: Pairs) -> tuple[Indices, NDArray[np.float32]]:
    """Return each row's component and the weakest link that holds the component together.

    Args: count: number of rows N. pairs: the edges, row numbers below N.
    Returns: component, int64 (N,): the smallest row number of the component, -1 where the row
        is alone. weakest_link, float32 (N,): the smallest edge of the component's maximum
        spanning tree (raise the threshold above it and the component falls apart), 1.0 where
        the row is alone. Memory: some 60 bytes a pair. Time: log2 N rounds at most, over the
        edges between what is still apart.
    """
    label, weakest, _ = _joined(count, pairs)
    return _named_by_smallest(label), weakest[label]


def labels(count: int, left_P: Indices, right_P: Indices) -> Indices:
    """Return a number for each of N rows, int64 (N,): the smallest of those that links join it to.

    Args: left_P, right_P: the ends of the links, row numbers below N.
    """
    links = Pairs(left_P, right_P, np.ones(len(left_P), np.float32))
    component, _ = components(count, links)
    return np.where(component < 0, np.arange(count), component)


def spanning_forest(count: int, pairs: Pairs) -> Pairs:
    """Return a maximum spanning forest of the pairs, count - 1 of them at most."""
    _, _, links = _joined(count, pairs)
    return pairs.chosen(links)


def _joined(count: int, pairs: Pairs) -> tuple[Indices, NDArray[np.float32], Indices]:
    """Return each row's root, each root's weakest link, and the pairs of the forest, sorted."""
    label = np.arange(count)
    weakest = np.ones(count, np.float32)
    left, right, similarity = pairs.left, pairs.right, pairs.similarity
    number, forest = np.arange(len(pairs)), [np.empty(0, np.int64)]
    while True:
        left, right = label[left], label[right]
        apart = left != right
        left, right, similarity = left[apart], right[apart], similarity[apart]
        number = number[apart]
        if not len(left):
            return label, weakest, np.unique(np.concatenate(forest))
        chosen = strongest((left, right), similarity, np.arange(len(left)), count)
        roots = np.flatnonzero(chosen >= 0)
        links = chosen[roots]
        forest.append(number[links])
        parent = _merge(roots, left[links] + right[links] - roots, count)
        np.minimum.at(weakest, parent[roots], np.minimum(weakest[roots], similarity[links]))
        label = parent[label]


def strongest(
    ends: Sequence[Indices], strength_E: NDArray[np.float32], key_E: Indices, count: int
) -> Indices:
    """Return for each node the smallest key among the strongest edges that end at it.

    Args: ends: arrays int64 (E,), the nodes at either end of each edge, or one end only.
        strength_E: finite. key_E: >= 0, breaks ties.
    Returns: int64 (count,), -1 for a node without an edge.
    """
    best = np.full(count, -np.inf, np.float32)
    for node in ends:
        np.maximum.at(best, node, strength_E)
    key = np.full(count, np.iinfo(np.int64).max)
    for node in ends:
        tied = np.flatnonzero(strength_E == best[node])
        np.minimum.at(key, node[tied], key_E[tied])
    return np.where(best == -np.inf, -1, key)


def _merge(roots: Indices, partners: Indices, count: int) -> Indices:
    """Return each node's new root, int64 (count,), after every root joined its partner.

    Edges are ranked without ties, so the only cycles are two roots that chose each other.
    """
    parent = np.arange(count)
    parent[roots] = partners
    mutual = (parent[parent[roots]] == roots) & (roots < partners)
    parent[roots[mutual]] = roots[mutual]
    while True:
        above = parent[parent]
        if np.array_equal(above, parent):
            return parent
        parent = above


def _named_by_smallest(label: Indices) -> Indices:
    """Rename components by their smallest row, and those of one row -1."""
    rows = np.arange(len(label))
    smallest = np.full(len(label), len(label))
    np.minimum.at(smallest, label, rows)
    alone = np.bincount(label, minlength=len(label))[label] == 1
    return np.where(alone, -1, smallest[label])


def leaving(set_N: Indices, pairs: Pairs, touches_N: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the rows whose clusters lie in several sets, bool (N,): these go to the last set.

    Args: set_N: the number of each row's set. pairs: of copies among the rows. touches_N: rows
        with a copy in the last set.
    """
    component = labels(len(set_N), pairs.left, pairs.right)
    first, last = np.full(len(set_N), len(set_N)), np.full(len(set_N), -1)
    np.minimum.at(first, component, set_N)
    np.maximum.at(last, component, set_N)
    mixed = first < last
    np.logical_or.at(mixed, component, touches_N)
    out: NDArray[np.bool_] = mixed[component]
    return out
