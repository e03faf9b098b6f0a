"""From descriptors to clusters: what belongs together, what stays, what it stands for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.choices import LINKAGES, Linkage, Method, check_word
from sscd_cli.matching.copies import Clusters, Copies, Recall, sampled_recall
from sscd_cli.matching.crowds import leaders
from sscd_cli.matching.doubts import Doubts, separated
from sscd_cli.matching.forest import components
from sscd_cli.matching.hubs import crowd_forest, expected_pairs
from sscd_cli.matching.join import (
    Bias,
    JoinPlan,
    Pairs,
    TooManyPairsError,
    find_pairs,
    least_cosine,
    most_pairs,
    numbered,
    plan_join,
    similarities,
)
from sscd_cli.matching.linkage import by_complete_link, by_component, by_leader
from sscd_cli.matching.products import Indices

_HELD, _HELD_A_ROW = 2_000_000, 16  # pairs: 0.25 GB and 2 kB a row when they are clustered
_CERTAINLY = 2  # times as many pairs, going by a sample: more than can be held


def deduplicate(
    descriptors_ND: NDArray[Any],
    threshold: float,
    order_N: Indices,
    linkage: Linkage = "leader",
    method: Method = "auto",
) -> Clusters:
    """Cluster the rows whose similarity is at least `threshold` and choose what stays.

    `find_copies`, then `cluster_copies`: see there.
    """
    check_word("linkage", linkage, LINKAGES)
    copies = find_copies(descriptors_ND, threshold, method)
    return cluster_copies(copies, order_N, descriptors_ND, linkage)


def find_copies(
    descriptors_ND: NDArray[Any],
    threshold: float,
    method: Method = "auto",
    bias_N: Bias | None = None,
    announce: Callable[[JoinPlan], None] = lambda plan: None,
    device: str = "cpu",
    min_recall: float = 0.0,
    crowd_threshold: float | None = None,
    among_N: NDArray[np.bool_] | None = None,
) -> Copies:
    """Find the rows whose similarity is at least `threshold`.

    Identical rows are joined as one, so that a blank image repeated n times costs n rows and
    not n²/2 pairs. Of more pairs than 16 a row and 2 million, only a spanning forest is found,
    exactly, whatever the method (see `hubs`).

    Args: descriptors_ND: float16 or float32 (N, D), about unit length. threshold: cosine.
        method, bias_N, device: see `find_pairs`; but of "exact" the recall is measured. Identical
        rows are copies whatever their bias. announce: called with the plan before the work.
        min_recall: see `plan_join`. crowd_threshold: of the spanning forest, by default the same.
        among_N: rows to compare, by default all; the others have identical copies only.
    Raises: UsageError: unknown method. TooManyPairsError: of rows with biases.
    """
    first_U, group_N = collapse(descriptors_ND)
    compared = np.arange(len(first_U)) if among_N is None else np.unique(group_N[among_N])
    rows = first_U[compared]
    distinct_UD = descriptors_ND if len(rows) == len(group_N) else descriptors_ND[rows]
    forest_at = threshold if crowd_threshold is None else crowd_threshold
    bias_U = None if bias_N is None else bias_N[rows]
    held = _held(distinct_UD, threshold, method, bias_U, announce, device, min_recall)
    if held is None:
        forest = crowd_forest(distinct_UD, forest_at)
        return Copies(group_N, numbered(forest, compared), forest_at=forest_at)
    pairs, recall = held
    return Copies(group_N, numbered(pairs, compared), recall, bias_N)


def _held(
    distinct_UD: NDArray[Any],
    threshold: float,
    method: Method,
    bias_U: Bias | None,
    announce: Callable[[JoinPlan], None],
    device: str,
    min_recall: float,
) -> tuple[Pairs, Recall | None] | None:
    """Find all pairs, and measure the recall unless it is exact; None if they are too many."""
    most = None if bias_U is not None else most_held(len(distinct_UD))
    if most and expected_pairs(distinct_UD, threshold) > _CERTAINLY * most:
        return None
    least = least_cosine(threshold, bias_U)
    how = plan_join(distinct_UD, least, method, device, min_recall)
    announce(how)
    try:
        pairs = find_pairs(distinct_UD, threshold, bias_N=bias_U, how=how, most=most)
    except TooManyPairsError:
        if most is None:
            raise
        return None
    if how.method == "exact":
        return pairs, None
    return pairs, sampled_recall(distinct_UD, pairs, threshold, bias_U)


def most_held(rows: int) -> int:
    """Return of how many pairs of so many rows all are kept, and not only a spanning forest."""
    return min(most_pairs(), _HELD + _HELD_A_ROW * rows)


def collapse(descriptors_ND: NDArray[Any]) -> tuple[Indices, Indices]:
    """Group the rows that are identical, byte for byte.

    Returns: first, int64 (U,), ascending: the first row of each group; group, int64 (N,): the
        group of each row, first[group[i]] <= i. Memory: some 40 bytes a row.
    """
    rows_ND = np.ascontiguousarray(descriptors_ND)
    digests = b"".join(hashlib.blake2b(row, digest_size=16).digest() for row in rows_ND)
    return numbered_by_first(np.frombuffer(digests, np.dtype("V16")))


def numbered_by_first(keys_N: NDArray[Any]) -> tuple[Indices, Indices]:
    """Number distinct keys by where they occur first.

    Returns: first, int64 (U,), ascending: where; group, int64 (N,): the number of each row's key.
    """
    _, first, group = np.unique(keys_N, return_index=True, return_inverse=True)
    by_first = np.argsort(first)
    return first[by_first], _ranks(first)[group]


def cluster_copies(
    copies: Copies,
    order_N: Indices,
    descriptors_ND: NDArray[Any],
    linkage: Linkage = "leader",
    present_N: NDArray[np.bool_] | None = None,
    doubts: Doubts | None = None,
) -> Clusters:
    """Turn copies into clusters; identical rows share their keeper.

    Args: order_N, linkage: as in `cluster`. present_N: the rows that count, by default all;
        the others are alone. descriptors_ND: not looked at where the pairs say all, which is
        under any linkage but "components", unless they have biases or are only a forest.
        doubts: which pairs are only to be looked at; by default none.
    """
    if doubts is not None:
        copies = separated(copies, doubts, order_N)
    present = np.arange(len(order_N)) if present_N is None else np.flatnonzero(present_N)
    here, group = np.unique(copies.group[present], return_inverse=True)
    number = np.full(len(order_N), -1)
    number[here] = np.arange(len(here))
    pairs = copies.pairs.renumbered(number)
    representative = present[_best_of_each(group, _ranks(order_N[present]), len(here))]
    order = order_N[representative]
    if copies.forest_at is None:
        # cosines that every pair with a keeper brings along need not be computed again
        known = linkage != "components" and copies.bias is None
        rows = None if known else descriptors_ND
        sure = None if doubts is None else doubts.sure(pairs, representative)
        distinct = cluster(pairs, order, rows, linkage, representative, sure)
    else:
        if len(pairs) < len(copies.pairs):  # who held others together is left out
            pairs = crowd_forest(descriptors_ND[representative], copies.forest_at)
        rows_UD = descriptors_ND[representative]
        distinct = _cluster_forest(pairs, order, rows_UD, linkage, copies.forest_at)
        if doubts is not None:
            doubtful = doubts.rows[representative]  # or their keepers: these are to be looked at
            doubtful = doubtful | doubtful[distinct.keeper]
            doubtful |= distinct.similarity < np.float32(doubts.threshold)
            doubted = distinct.removable & doubtful
            distinct = distinct.with_look_at(doubted)
    if copies.bias is not None:
        distinct = _lowered(distinct, copies.bias[representative])
    return _expanded(distinct, representative, group, present, len(order_N))


def cluster(
    pairs: Pairs,
    order_N: Indices,
    descriptors_MD: NDArray[Any] | None,
    linkage: Linkage = "leader",
    rows_N: Indices | None = None,
    sure_P: NDArray[np.bool_] | None = None,
) -> Clusters:
    """Turn pairs into connected components and each row's keeper.

    Args: pairs: as from `find_pairs`. order_N: distinct integers, the smaller is rather kept.
        linkage: "leader": in order, a row without a kept partner is kept, and every other one
        is itself in a pair with its keeper; "components": one keeper a component, which may be
        less similar than the threshold to rows that a chain leads to; "complete": groups in
        which every two rows are a pair, one keeper each. descriptors_MD: None takes the
        similarities to the keepers from the pairs, which "components" does not have. rows_N:
        which descriptor each of the N is, by default the one of its own number. sure_P: the
        pairs that suffice for a removal, by default all; of the others one row is to be looked
        at, where both rows stay.
    Raises: UsageError: unknown linkage.
    """
    check_word("linkage", linkage, LINKAGES)
    component, weakest_link = components(len(order_N), pairs)
    rank = _ranks(order_N)
    enough = pairs if sure_P is None else pairs.chosen(sure_P)
    if linkage == "leader":
        keeper = by_leader(enough, rank)
    elif linkage == "complete":
        keeper = by_complete_link(enough, rank)
    else:
        keeper = by_component(components(len(order_N), enough)[0], rank)
    keeper, look_at = _also_alike(keeper, pairs, sure_P, rank)
    similarity = np.ones(len(order_N), np.float32)
    copy = np.flatnonzero(keeper != np.arange(len(keeper)))
    if descriptors_MD is None:
        similarity[copy] = _similarities_of(pairs, copy, keeper[copy], len(order_N))
        return Clusters(component, keeper, similarity, weakest_link, look_at)
    rows = np.arange(len(order_N)) if rows_N is None else rows_N
    pair = rows[copy], rows[keeper[copy]]
    similarity[copy] = similarities(descriptors_MD, pair[0], descriptors_MD, pair[1])
    return Clusters(component, keeper, similarity, weakest_link, look_at)


def _also_alike(
    keeper_N: Indices, pairs: Pairs, sure_P: NDArray[np.bool_] | None, rank_N: Indices
) -> tuple[Indices, NDArray[np.bool_]]:
    """Of the kept rows, set those beside a better-ranked one that are in a doubtful pair with it.

    Returns: the keepers, now theirs too; which rows these are, bool (N,).
    """
    rows = np.arange(len(keeper_N))
    if sure_P is None:
        return keeper_N, np.zeros(len(rows), np.bool_)
    kept = keeper_N == rows
    doubtful = pairs.chosen(~sure_P & kept[pairs.left] & kept[pairs.right])
    beside = by_leader(doubtful, rank_N)
    look_at = beside != rows
    return np.where(look_at, beside, keeper_N), look_at


def _similarities_of(pairs: Pairs, one: Indices, other: Indices, count: int) -> NDArray[np.float32]:
    """Look up pairs of rows below `count`, which must be among `pairs`."""
    keys = pairs.left * count + pairs.right  # sorted as the pairs are
    wanted = np.minimum(one, other) * count + np.maximum(one, other)
    return pairs.similarity[np.searchsorted(keys, wanted)]


def _lowered(found: Clusters, bias_N: Bias) -> Clusters:
    """Take the biases from what the pairs, which are lowered already, do not say."""
    return replace(
        found,
        similarity=found.similarity - np.float32(0.5) * (bias_N + bias_N[found.keeper]),
        weakest_link=np.where(found.clustered, found.weakest_link, 1 - bias_N),
    )


def _cluster_forest(
    forest: Pairs, order_N: Indices, descriptors_ND: NDArray[Any], linkage: Linkage, at: float
) -> Clusters:
    """Do as `cluster` does, with a spanning forest of the pairs."""
    if linkage == "complete":
        raise TooManyPairsError(
            f"too many images are alike at the threshold {at:g} for --linkage complete",
            "use --linkage leader, or raise the threshold",
        )
    component, weakest_link = components(len(order_N), forest)
    rank = _ranks(order_N)
    if linkage == "leader":
        keeper = leaders(descriptors_ND, component, rank, at)
    else:
        keeper = by_component(component, rank)
    similarity = np.ones(len(order_N), np.float32)
    copy = np.flatnonzero(keeper != np.arange(len(keeper)))
    similarity[copy] = similarities(descriptors_ND, copy, descriptors_ND, keeper[copy])
    return Clusters(component, keeper, similarity, weakest_link, np.zeros(len(keeper), np.bool_))


def _expanded(
    distinct: Clusters, representative_U: Indices, group_M: Indices, present_M: Indices, count: int
) -> Clusters:
    """Give each present row what its group's representative got; twins of a keeper are copies."""
    alone = distinct.component < 0
    component_M = np.where(alone, np.arange(len(alone)), distinct.component)[group_M]
    smallest = np.full(len(alone), count)
    np.minimum.at(smallest, component_M, present_M)
    size = np.bincount(component_M, minlength=len(alone))
    found = Clusters(
        component=np.full(count, -1),
        keeper=np.arange(count),
        similarity=np.ones(count, np.float32),
        weakest_link=np.ones(count, np.float32),
        look_at=np.zeros(count, np.bool_),
    )
    found.component[present_M] = np.where(size[component_M] == 1, -1, smallest[component_M])
    found.keeper[present_M] = representative_U[distinct.keeper][group_M]
    found.similarity[present_M] = distinct.similarity[group_M]
    found.weakest_link[present_M] = distinct.weakest_link[group_M]
    found.look_at[representative_U] = distinct.look_at
    twin = np.setdiff1d(present_M[distinct.look_at[group_M]], representative_U)
    found.keeper[twin] = representative_U[group_M[np.searchsorted(present_M, twin)]]
    found.similarity[twin] = 1
    return found


def _best_of_each(group_N: Indices, rank_N: Indices, groups: int) -> Indices:
    """Return the best-ranked row of each group, int64 (groups,)."""
    best = np.full(groups, len(rank_N))
    np.minimum.at(best, group_N, rank_N)
    representative: Indices = np.argsort(rank_N)[best]
    return representative


def _ranks(order_N: Indices) -> Indices:
    """Return the position of each row in the order, a permutation of 0..N-1."""
    rank = np.empty(len(order_N), np.int64)
    rank[np.argsort(order_N, kind="stable")] = np.arange(len(order_N))
    return rank
