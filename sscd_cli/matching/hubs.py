"""Spanning forests of crowds: what resembles a few hubs need not be compared with one another.

In a set of 20,000 pages of text nearly every two are a pair, 200 million of them. A few rows that
resemble many others, hubs, hold such a crowd together, and only what hubs leave apart is compared
pair by pair. The forest has the components and the weakest links of all pairs; but for those links
its edges need not be the strongest. Exact throughout, but for links that differ by less than
float32 tells apart.

Shape legend: N rows, D dimensions, H hubs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.matching.cells import Cells, product_of
from sscd_cli.matching.crowds import pairs_of, scores_of
from sscd_cli.matching.forest import components, labels, spanning_forest
from sscd_cli.matching.join import MARGIN, Pairs, find_pairs, merged, numbered, similarities
from sscd_cli.matching.products import COLUMNS, ROWS, Indices, plan

_SAMPLE = 1024
_LEAST = 4  # look-alikes in the sample that make a hub
_SMALL = 1024  # rows: all their pairs are looked at
_SUSPECTS = 256  # rows that may hang by the weakest link
_BLOCK = 2048
_HELD = 500_000  # edges, beside 4 a row, before they are thinned


def expected_pairs(descriptors_ND: NDArray[Any], threshold: float) -> float:
    """Return about how many pairs reach a threshold, from those of 1,024 rows."""
    rows = descriptors_ND[_spread(len(descriptors_ND))].astype(np.float32)
    cells = max(len(rows) * (len(rows) - 1), 1)
    found = float(np.count_nonzero(rows @ rows.T >= threshold) - len(rows))
    return max(found, 0.0) / cells * len(descriptors_ND) ** 2 / 2


def crowd_forest(descriptors_ND: NDArray[Any], threshold: float) -> Pairs:
    """Return a spanning forest of the pairs at or above `threshold`.

    The smallest edge of each component's tree is that of its maximum spanning tree.

    Memory: the rows in float32, 100 bytes a row, and 100 MB. Time: that of comparing each row with
    the hubs, and of the exact join for rows that these leave apart.
    """
    count = len(descriptors_ND)
    forest = _joined(descriptors_ND, threshold)
    label, _ = components(count, forest)
    rows = np.argsort(label, kind="stable")
    rows = rows[label[rows] >= 0]
    held = [Pairs.none()]
    for members in np.split(rows, np.flatnonzero(np.diff(label[rows])) + 1):
        if len(members) > 2:
            forest_of_members = _tree(descriptors_ND[members], threshold)
            held.append(numbered(forest_of_members, members))
    pairs = forest.chosen(np.bincount(label[rows], minlength=count)[label[forest.left]] == 2)
    return merged([pairs, *held])


def resembles_many(rows_ND: NDArray[Any], threshold: float, least: int) -> NDArray[np.bool_]:
    """Return which rows are in at least `least` pairs at or above `threshold`, bool (N,).

    Each is compared with others, at random, until it has so many.
    """
    count = np.zeros(len(rows_ND), np.int64)
    columns = np.random.default_rng(len(rows_ND)).permutation(len(rows_ND))
    for start in range(0, len(rows_ND), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(rows_ND)))
        for other in range(0, len(columns), _BLOCK):
            some = columns[other : other + _BLOCK]
            block = Cells(rows, some, rows[:, None] != some)
            count[rows] += np.count_nonzero(scores_of(block, rows_ND, threshold) > -1, axis=1)
            rows = rows[count[rows] < least]
            if not len(rows):
                break
    return count >= least


def _tree(rows_ND: NDArray[Any], threshold: float) -> Pairs:
    """Return a spanning tree, with the weakest link, of rows that are one component.

    No more than the link between any part and the rest holds the whole together. If all hang
    together by links at or above such a one, it is the weakest. The first parts tried are rows far
    from all hubs, the next whatever is apart at the link that was found.
    """
    if len(rows_ND) <= _SMALL:
        return spanning_forest(len(rows_ND), find_pairs(rows_ND, threshold, "exact"))
    forest = _joined(rows_ND, threshold)
    near = np.full(len(rows_ND), -1, np.float32)
    for ends in (forest.left, forest.right):
        np.maximum.at(near, ends, forest.similarity)
    suspects = np.argsort(near, kind="stable")[:_SUSPECTS]
    weakest = _links_out(rows_ND, suspects, np.arange(len(rows_ND))).min()
    while True:
        weakest = max(float(weakest), threshold)
        forest = _joined(rows_ND, weakest)
        label = labels(len(rows_ND), forest.left, forest.right)
        size = np.bincount(label, minlength=len(label))
        apart = np.flatnonzero(label != size.argmax())
        if not len(apart):
            return forest
        part, place = np.unique(label[apart], return_inverse=True)
        best = np.full(len(part), -1, np.float32)
        np.maximum.at(best, place, _links_out(rows_ND, apart, label))
        weakest = min(weakest, best.min())


def _links_out(rows_ND: NDArray[Any], some: Indices, label_N: Indices) -> NDArray[np.float32]:
    """Return for each of some rows the largest similarity to a row of another label."""
    best = np.empty(len(some), np.float32)
    for start in range(0, len(some), _SUSPECTS):
        part = some[start : start + _SUSPECTS]
        scores = rows_ND[part].astype(np.float32) @ rows_ND.astype(np.float32, copy=False).T
        scores[label_N[part][:, None] == label_N] = -np.inf
        other = scores.argmax(axis=1)
        best[start : start + _SUSPECTS] = similarities(rows_ND, part, rows_ND, other)
    return best


def _joined(rows_ND: NDArray[Any], threshold: float) -> Pairs:
    """Return a spanning forest of the pairs at or above `threshold`, of any of their edges."""
    forest = _around_hubs(rows_ND, threshold)
    label = labels(len(rows_ND), forest.left, forest.right)
    size = np.bincount(label, minlength=len(label))
    cells = (len(label) ** 2 - float(np.square(size).sum())) / 2
    if not cells:
        return forest
    # the largest component first, so that whole tiles lie within one
    order = np.lexsort((label, -size[label]))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    known = Pairs(place[forest.left], place[forest.right], forest.similarity)
    return numbered(_joined_further(rows_ND[order], threshold, known, cells), order)


def _joined_further(rows_ND: NDArray[Any], threshold: float, forest: Pairs, cells: float) -> Pairs:
    """Add to a forest what joins its components, tile by tile. cells: between components."""
    count, cut = len(rows_ND), threshold - MARGIN
    product = product_of(rows_ND, rows_ND, cut, plan(rows_ND, rows_ND, cut, cells))
    label, held, waiting = labels(count, forest.left, forest.right), [forest], 0
    for start in range(0, count, ROWS):
        left = np.arange(start, min(start + ROWS, count))
        for other in range(start, count, COLUMNS):
            right = np.arange(other, min(other + COLUMNS, count))
            apart = label[left][:, None] != label[right]
            if not apart.any():
                continue
            apart &= product.above(slice(start, start + ROWS), slice(other, other + COLUMNS))
            marked = np.count_nonzero(apart)
            if not marked:
                continue
            held.append(pairs_of(Cells(left, right, apart), rows_ND, threshold))
            waiting += len(held[-1])
            if marked > len(left) + len(right) or waiting > _HELD + 4 * count:
                held, waiting = [spanning_forest(count, merged(held))], 0
                label = labels(count, held[0].left, held[0].right)
    return spanning_forest(count, merged(held))


def _around_hubs(rows_ND: NDArray[Any], threshold: float) -> Pairs:
    """Return a spanning forest of the pairs of rows with hubs."""
    hubs = _hubs(rows_ND, threshold)
    held = [Pairs.none()]
    for start in range(0, len(rows_ND) if len(hubs) else 0, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(rows_ND)))
        held.append(pairs_of(Cells(rows, hubs, rows[:, None] != hubs), rows_ND, threshold))
    return spanning_forest(len(rows_ND), numbered(merged(held), np.arange(len(rows_ND))))


def _hubs(rows_ND: NDArray[Any], threshold: float) -> Indices:
    """Return the rows of a sample that resemble many others, those first that add most."""
    some = _spread(len(rows_ND))
    rows = rows_ND[some].astype(np.float32)
    alike = rows @ rows.T >= threshold
    free, hubs = np.ones(len(some), np.bool_), []
    gain = np.count_nonzero(alike, axis=1)
    while len(some) and gain.max() > _LEAST:
        hub = int(gain.argmax())
        hubs.append(some[hub])
        covered = alike[hub] & free
        covered[hub] = True  # a row of zeros is not even like itself
        gain -= np.count_nonzero(alike[:, covered & free], axis=1)
        gain[hub] = 0
        free &= ~covered
    return np.array(hubs, np.int64)


def _spread(count: int) -> Indices:
    """Return up to 1,024 row numbers from all over a set."""
    return np.unique(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64))
