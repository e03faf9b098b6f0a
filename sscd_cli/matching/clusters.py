"""From descriptors to clusters: what belongs together, what stays, what it stands for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sscd_cli.errors import UsageError
from sscd_cli.matching.forest import components
from sscd_cli.matching.join import Indices, Method, Pairs, choose_method, find_pairs, similarities
from sscd_cli.matching.linkage import by_complete_link, by_component, by_leader
from sscd_cli.matching.recall import Recall, sampled_recall

Linkage = Literal["leader", "components", "complete"]
LINKAGES = ("leader", "components", "complete")


@dataclass(frozen=True, slots=True)
class Clusters:
    """One entry a row, in the order of the descriptors.

    component: int64 (N,), smallest row number of the connected component, -1 if alone.
    keeper: int64 (N,), the row that stays for this one; itself where it is kept.
    similarity: float32 (N,), to the keeper, 1.0 to itself.
    weakest_link: float32 (N,), smallest edge of the component's maximum spanning tree, 1.0 if
        alone: far below the others it betrays a chain.
    recall: of the pairs behind the clusters, where an approximate method found them.
    """

    component: Indices
    keeper: Indices
    similarity: NDArray[np.float32]
    weakest_link: NDArray[np.float32]
    recall: Recall | None = None

    @property
    def removable(self) -> NDArray[np.bool_]:
        """bool (N,): rows that another row stands for."""
        rows = np.arange(len(self.keeper))
        return np.not_equal(self.keeper, rows)


def deduplicate(
    descriptors_ND: NDArray[Any],
    threshold: float,
    order_N: Indices,
    linkage: Linkage = "leader",
    method: Method = "auto",
) -> Clusters:
    """Cluster the rows whose similarity is at least `threshold` and choose what stays.

    Identical rows are joined as one, so that a blank image repeated n times costs n rows and
    not n²/2 pairs; they share their keeper.

    Args: descriptors_ND: float16 or float32 (N, D), about unit length. threshold: cosine.
        order_N: distinct integers, the smaller is rather kept (see `keepers.keep_order`).
        linkage: see `cluster`. method: see `find_pairs`.
    Returns: clusters; `recall` is measured where the method is "bits".
    Raises: UsageError: unknown linkage or method.
    """
    _check(linkage)
    first_U, group_N = collapse(descriptors_ND)
    if len(first_U) == len(descriptors_ND):
        return _cluster_distinct(descriptors_ND, threshold, order_N, linkage, method)
    representative_U = _best_of_each(group_N, _ranks(order_N), len(first_U))
    distinct_UD, order_U = descriptors_ND[representative_U], order_N[representative_U]
    distinct = _cluster_distinct(distinct_UD, threshold, order_U, linkage, method)
    return _expand(distinct, representative_U, group_N)


def collapse(descriptors_ND: NDArray[Any]) -> tuple[Indices, Indices]:
    """Group the rows that are identical, byte for byte.

    Returns: first, int64 (U,), ascending: the first row of each group; group, int64 (N,): the
        group of each row, first[group[i]] <= i. Memory: some 40 bytes a row.
    """
    rows_ND = np.ascontiguousarray(descriptors_ND)
    digests = b"".join(hashlib.blake2b(row, digest_size=16).digest() for row in rows_ND)
    _, first, group = np.unique(
        np.frombuffer(digests, np.dtype("V16")), return_index=True, return_inverse=True
    )
    by_first = np.argsort(first)
    number = np.empty(len(first), np.int64)
    number[by_first] = np.arange(len(first))
    return first[by_first], number[group]


def cluster(
    pairs: Pairs, order_N: Indices, descriptors_ND: NDArray[Any], linkage: Linkage = "leader"
) -> Clusters:
    """Turn pairs into connected components and each row's keeper.

    Args: pairs: as from `find_pairs`. order_N: distinct integers, the smaller is rather kept.
        linkage: "leader": in order, a row without a kept partner is kept, and every other one
        is itself in a pair with its keeper; "components": one keeper a component, which may be
        less similar than the threshold to rows that a chain leads to; "complete": groups in
        which every two rows are a pair, one keeper each.
    Raises: UsageError: unknown linkage.
    """
    _check(linkage)
    component, weakest_link = components(len(order_N), pairs)
    rank = _ranks(order_N)
    if linkage == "leader":
        keeper = by_leader(pairs, rank)
    elif linkage == "complete":
        keeper = by_complete_link(pairs, rank)
    else:
        keeper = by_component(component, rank)
    similarity = np.ones(len(order_N), np.float32)
    copy = np.flatnonzero(keeper != np.arange(len(keeper)))
    similarity[copy] = similarities(descriptors_ND, copy, descriptors_ND, keeper[copy])
    return Clusters(component, keeper, similarity, weakest_link)


def _cluster_distinct(
    descriptors_UD: NDArray[Any],
    threshold: float,
    order_U: Indices,
    linkage: Linkage,
    method: Method,
) -> Clusters:
    """Join and cluster rows of which no two are identical."""
    chosen = choose_method(len(descriptors_UD), threshold, method)
    pairs = find_pairs(descriptors_UD, threshold, chosen)
    clusters = cluster(pairs, order_U, descriptors_UD, linkage)
    if chosen == "exact":
        return clusters
    return replace(clusters, recall=sampled_recall(descriptors_UD, pairs, threshold))


def _expand(distinct: Clusters, representative_U: Indices, group_N: Indices) -> Clusters:
    """Give each row what its group's representative got; twins of a keeper are its copies."""
    alone = distinct.component < 0
    component_U = np.where(alone, np.arange(len(alone)), distinct.component)
    component_N = component_U[group_N]
    rows = np.arange(len(group_N))
    smallest = np.full(len(alone), len(rows))
    np.minimum.at(smallest, component_N, rows)
    size = np.bincount(component_N, minlength=len(alone))
    return Clusters(
        component=np.where(size[component_N] == 1, -1, smallest[component_N]),
        keeper=representative_U[distinct.keeper][group_N],
        similarity=distinct.similarity[group_N],
        weakest_link=distinct.weakest_link[group_N],
        recall=distinct.recall,
    )


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


def _check(linkage: str) -> None:
    if linkage not in LINKAGES:
        raise UsageError(f"unknown linkage {linkage!r}", f"choose one of {', '.join(LINKAGES)}")
