"""Which pairs are enough for a removal, and which are only to be looked at.

Shape legend: N rows, P pairs, D dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.choices import CROWD
from sscd_cli.matching.copies import Clusters, Copies
from sscd_cli.matching.forest import components
from sscd_cli.matching.hubs import resembles_many
from sscd_cli.matching.join import Bias, Pairs, merged
from sscd_cli.matching.products import Indices

SAMPLE = 150  # rows whose pairs, some 11,000, tell how alike a set is
FEWEST = 20  # rows: of fewer a handful of copies is a large share
# of random pairs above the threshold: of photographs 0.0 %, of pages of text 99 %
MOST_ALIKE = 0.05
COPIES = 3  # that each picture of a small set may have beside that: of 20, it is three times more


@dataclass(frozen=True, slots=True)
class Doubts:
    """What makes a pair one to be looked at, never one to remove.

    threshold: a pair below it. rows: bool (N,), every pair of these. exact: int64 (N,), rows of
    one number hold the same picture, byte for byte or pixel for pixel, or the same frames, and
    are beyond doubt. apart: int64 (K, 2), pairs of rows that are no copies, the smaller one first.
    confirmed: the same of those that are copies however low their similarity.
    """

    threshold: float
    rows: NDArray[np.bool_]
    exact: Indices
    apart: Indices = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    confirmed: Indices = field(default_factory=lambda: np.zeros((0, 2), np.int64))

    def sure(self, pairs: Pairs, rows_M: Indices) -> NDArray[np.bool_]:
        """Return which pairs suffice, bool (P,). rows_M: the row of each number in them."""
        doubtful, exact = self.rows[rows_M], self.exact[rows_M]
        enough = pairs.similarity >= np.float32(self.threshold)
        plain = ~doubtful[pairs.left] & ~doubtful[pairs.right]
        same: NDArray[np.bool_] = exact[pairs.left] == exact[pairs.right]
        ends = np.sort(np.stack([rows_M[pairs.left], rows_M[pairs.right]], axis=1), axis=1)
        apart, confirmed = (self._keyed(ends, some) for some in (self.apart, self.confirmed))
        return (enough | confirmed) & (plain | same) & ~apart

    def _keyed(self, ends_P2: Indices, some_K2: Indices) -> NDArray[np.bool_]:
        """Return which pairs of rows are among some."""
        count = len(self.rows)
        keys, wanted = (ends[:, 0] * count + ends[:, 1] for ends in (ends_P2, some_K2))
        return np.isin(keys, wanted)


def at_threshold(copies: Copies, threshold: float) -> Copies:
    """Leave lower pairs out."""
    pairs = copies.pairs.chosen(copies.pairs.similarity >= np.float32(threshold))
    forest_at = None if copies.forest_at is None else max(copies.forest_at, threshold)
    return replace(copies, pairs=pairs, forest_at=forest_at)


def exact_copies(columns: Mapping[str, NDArray[Any]]) -> Indices:
    """Number the pictures: rows with the same bytes or the same pixels share one, int64 (N,).

    columns: `content_hash` and `pixel_hash`, uint8 (N, 16); all 0 is unknown, and like no other.
    """
    bytes_N, pixels_N = (_numbered(columns[name]) for name in ("content_hash", "pixel_hash"))
    count = len(bytes_N)
    pixels_of = np.full(2 * count, -1)
    np.maximum.at(pixels_of, bytes_N, np.where(pixels_N < count, pixels_N, -1))
    known = pixels_of[bytes_N]
    return np.where(known >= 0, known, count + bytes_N)


def exact_copies_between(
    ours: Mapping[str, NDArray[Any]], theirs: Mapping[str, NDArray[Any]]
) -> tuple[Indices, Indices]:
    """Number the pictures of two sets as `exact_copies` does, alike in both."""
    hashes = ("content_hash", "pixel_hash")
    exact = exact_copies({name: np.concatenate([ours[name], theirs[name]]) for name in hashes})
    count = len(ours["content_hash"])
    return exact[:count], exact[count:]


def as_keys(digests_N16: NDArray[np.uint8]) -> NDArray[np.void]:
    """Return each digest as one value, (N,), to sort and compare."""
    return np.ascontiguousarray(digests_N16).view("V16").ravel()


def _numbered(hashes_N16: NDArray[np.uint8]) -> Indices:
    """Number distinct digests from 0 on; one of zeros has a number from N on of its own."""
    keys = as_keys(hashes_N16)
    _, number = np.unique(keys, return_inverse=True)
    unknown = ~hashes_N16.any(axis=1)
    return np.where(unknown, len(keys) + np.arange(len(keys)), number)


def crowded(
    copies: Copies,
    threshold: float,
    counts_N: NDArray[np.bool_],
    descriptors_ND: NDArray[Any],
    alike: Resemblance,
) -> NDArray[np.bool_]:
    """Return the rows with too many look-alikes, bool (N,).

    Identical rows are one look-alike. counts_N: the rows that count. descriptors_ND: looked at
    where the pairs are only a spanning forest. alike: how alike random rows are.
    """
    groups = int(copies.group.max(initial=-1)) + 1
    counted = np.zeros(groups, np.bool_)
    counted[copies.group[counts_N]] = True
    pairs, least = copies.pairs, alike.too_many(int(counted.sum()))
    if copies.forest_at is not None:
        return _crowded_forest(copies, threshold, counted, descriptors_ND, least)[copies.group]
    links = pairs.similarity >= np.float32(threshold)
    links &= counted[pairs.left] & counted[pairs.right]
    ends = np.concatenate([pairs.left[links], pairs.right[links]])
    crowd: NDArray[np.bool_] = np.bincount(ends, minlength=groups)[copies.group] >= least
    return crowd


def crowded_between(
    pairs: Pairs, threshold: float, exact: tuple[Indices, Indices], alike: Resemblance
) -> NDArray[np.bool_]:
    """Return the pairs of a row that has too many look-alikes in the other set, bool (P,).

    exact: of either set, rows of one number hold the same picture and are one look-alike. alike:
    how alike random rows of the two are.
    """
    links = np.flatnonzero(pairs.similarity >= np.float32(threshold))
    ends = pairs.left[links], pairs.right[links]
    crowd = np.zeros(len(pairs), np.bool_)
    for rows, others, pictures in ((*ends, exact[1]), (*ends[::-1], exact[0])):
        looks = np.unique(np.stack([rows, pictures[others]]), axis=1)[0]
        count = np.bincount(looks, minlength=len(exact[0]) + len(exact[1]))
        crowd[links] |= count[rows] >= alike.too_many(len(pictures))
    return crowd


def _crowded_forest(
    copies: Copies,
    threshold: float,
    counted_U: NDArray[np.bool_],
    descriptors_ND: NDArray[Any],
    least: int,
) -> NDArray[np.bool_]:
    """Return the groups with so many look-alikes or more, which are all in their component."""
    _, first_U = np.unique(copies.group, return_index=True)
    label, _ = components(len(first_U), copies.pairs)
    rows = np.argsort(label, kind="stable")
    rows = rows[counted_U[rows] & (label[rows] >= 0)]
    crowd = np.zeros(len(first_U), np.bool_)
    for members in np.split(rows, np.flatnonzero(np.diff(label[rows])) + 1):
        if len(members) > least:
            crowd[members] = resembles_many(descriptors_ND[first_U[members]], threshold, least)
    return crowd


@dataclass(frozen=True, slots=True)
class Resemblance:
    """How alike the images of a set are, whoever is a copy of whom.

    pairs: how many random ones were looked at. share: of them, how many reach the threshold.
    median: their similarity.
    """

    pairs: int
    share: float
    median: float

    @property
    def tells_nothing(self) -> bool:
        """Whether the threshold separates nothing in this set."""
        if self.pairs < FEWEST * (FEWEST - 1) // 2:
            return False
        return self.share > MOST_ALIKE + COPIES / math.sqrt(2 * self.pairs)

    def too_many(self, others: int) -> int:
        """Return how many look-alikes, among so many others, let only exact copies of one go."""
        few = COPIES + math.ceil(MOST_ALIKE * others)
        return min(few, CROWD) if self.tells_nothing else CROWD


def random_rows(rows_N: Indices) -> Indices:
    """Choose `SAMPLE` of some rows at random, the same ones every time, ascending."""
    generator = np.random.default_rng(len(rows_N))
    some = generator.choice(rows_N, min(SAMPLE, len(rows_N)), replace=False)
    return np.sort(some)


def resemblance(
    rows_ND: NDArray[Any],
    threshold: float,
    bias_N: Bias | None = None,
    others_MD: NDArray[Any] | None = None,
) -> Resemblance:
    """Compare a few random rows with each other, or with random rows of another set.

    Rows that are identical, byte for byte, are no pair. bias_N: as in `find_pairs`, or, with
    others, in `cross_pairs`.
    """
    rows, first = np.unique(rows_ND.astype(np.float32), axis=0, return_index=True)
    bias = (np.zeros(len(rows_ND), np.float32) if bias_N is None else bias_N)[first]
    if others_MD is None:
        found = (rows @ rows.T - (bias[:, None] + bias) / 2)[np.triu_indices(len(rows), 1)]
    else:
        others = np.unique(others_MD.astype(np.float32), axis=0)
        unlike = (rows[:, None] != others).any(axis=2)
        found = (rows @ others.T - bias[:, None])[unlike]
    if not len(found):
        return Resemblance(0, 0.0, 0.0)
    share = float((found >= threshold).mean())
    return Resemblance(len(found), share, float(np.median(found)))


def separated(copies: Copies, doubts: Doubts, order_N: Indices) -> Copies:
    """Take apart the identical rows that are in doubt and no exact copies.

    They become pairs of similarity 1, each of one row with the best-ranked, so that n of them
    make n pairs.
    """
    group = copies.group
    keys = np.stack([group, np.where(doubts.rows, doubts.exact, -1)], axis=1)
    distinct, part_N = np.unique(keys, axis=0, return_inverse=True)
    part_N = part_N.ravel()
    if len(distinct) == int(group.max(initial=-1)) + 1:
        return copies
    parent = distinct[:, 0]
    best = np.full(len(parent), np.iinfo(np.int64).max)
    np.minimum.at(best, part_N, order_N)
    by_rank = np.lexsort((best, parent))
    starts = np.flatnonzero(np.diff(parent[by_rank], prepend=-1))
    parts = np.diff(starts, append=len(parent))
    leads = np.repeat(by_rank[starts], parts)
    others = by_rank != leads
    twins = _between(leads[others], by_rank[others], np.ones(others.sum(), np.float32))
    inherited = _inherited(copies.pairs, starts, parts, by_rank)
    return replace(copies, group=part_N, pairs=merged([inherited, twins]))


def _inherited(pairs: Pairs, starts: Indices, parts: Indices, by_rank: Indices) -> Pairs:
    """Give the pairs of groups to all their parts, `parts[g]` of `by_rank` from `starts[g]` on."""
    left, right, similarity = pairs.left, pairs.right, pairs.similarity
    for _ in range(2):  # one end, then the other
        count = parts[left]
        place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        chosen = by_rank[np.repeat(starts[left], count) + place]
        left, right = np.repeat(right, count), chosen
        similarity = np.repeat(similarity, count)
    return _between(left, right, similarity)


def _between(one: Indices, other: Indices, similarity: NDArray[np.float32]) -> Pairs:
    return Pairs(np.minimum(one, other), np.maximum(one, other), similarity)


def with_exact_copies(
    found: Clusters, rows_N: NDArray[np.bool_], exact_N: Indices, order_N: Indices
) -> Clusters:
    """Add the clusters of some rows, which are in none, that are each other's exact copies."""
    rows = np.flatnonzero(rows_N)
    rows = rows[np.lexsort((order_N[rows], exact_N[rows]))]
    starts = np.flatnonzero(np.diff(exact_N[rows], prepend=-1))
    sizes = np.diff(starts, append=len(rows))
    several = np.repeat(sizes > 1, sizes)
    component, keeper = found.component.copy(), found.keeper.copy()
    if len(rows):
        smallest = np.minimum.reduceat(rows, starts)
        component[rows[several]] = np.repeat(smallest, sizes)[several]
        keeper[rows[several]] = np.repeat(rows[starts], sizes)[several]
    return replace(found, component=component, keeper=keeper)


def for_exact_copies(found: Clusters, exact_N: Indices, order_N: Indices) -> Clusters:
    """Let one of each picture of a cluster stay to be looked at: its exact copies go for it."""
    rows = np.flatnonzero(found.clustered & ~found.removable)
    pictures = np.stack([found.component[rows], exact_N[rows]])
    by_picture = np.lexsort((order_N[rows], found.look_at[rows], *pictures))
    rows, pictures = rows[by_picture], pictures[:, by_picture]
    starts = np.flatnonzero((np.diff(pictures, prepend=-1) != 0).any(axis=0))
    first = np.repeat(rows[starts], np.diff(starts, append=len(rows)))
    goes = found.look_at[rows] & (first != rows)
    instead = np.arange(len(found.keeper))
    instead[rows[goes]] = first[goes]
    keeper = instead[found.keeper]
    keeper[rows[goes]] = first[goes]
    similarity, look_at = found.similarity.copy(), found.look_at.copy()
    similarity[rows[goes]], look_at[rows[goes]] = 1, False
    return replace(found, keeper=keeper, similarity=similarity, look_at=look_at)
