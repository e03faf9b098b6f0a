"""Collapse, components, weakest links and the three linkages, against plain Python."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from sscd_cli.choices import LINKAGES
from sscd_cli.errors import UsageError
from sscd_cli.matching import clusters as clusters_module
from sscd_cli.matching import groups
from sscd_cli.matching.clusters import cluster, cluster_copies, collapse, deduplicate, find_copies
from sscd_cli.matching.forest import components
from sscd_cli.matching.join import Pairs, find_pairs
from sscd_cli.matching.linkage import by_complete_link, by_leader

SEEDS = range(40)


def chained_rows(seed, dtype=np.float32):
    """Unit rows in few dimensions, so that chains, cliques and loners all occur; some twice."""
    generator = np.random.default_rng(seed)
    count, dimensions = int(generator.integers(1, 40)), int(generator.integers(2, 7))
    rows = generator.standard_normal((count, dimensions))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.concatenate([rows, rows[generator.integers(0, count, count // 3)]])
    return rows[generator.permutation(len(rows))].astype(dtype)


def random_pairs(seed, count=30):
    """A random graph whose similarities are few values, so that ties are everywhere."""
    generator = np.random.default_rng(seed)
    every = np.array(list(itertools.combinations(range(count), 2)))
    chosen = every[generator.random(len(every)) < generator.uniform(0.02, 0.2)]
    similarity = generator.integers(5, 9, len(chosen)).astype(np.float32) / 8
    return Pairs(chosen[:, 0], chosen[:, 1], similarity), generator.permutation(count)


def partners_of(pairs, count):
    partners = [{} for _ in range(count)]
    for left, right, similarity in zip(
        pairs.left.tolist(), pairs.right.tolist(), pairs.similarity.tolist(), strict=True
    ):
        partners[left][right] = similarity
        partners[right][left] = similarity
    return partners


def plain_components(partners):
    component = [-1] * len(partners)
    for start in range(len(partners)):
        if component[start] >= 0 or not partners[start]:
            continue
        reached, frontier = {start}, [start]
        while frontier:
            for other in partners[frontier.pop()]:
                if other not in reached:
                    reached.add(other)
                    frontier.append(other)
        for row in reached:
            component[row] = start
    return component


def plain_weakest_links(partners):
    """Kruskal: the last edge that a component's maximum spanning tree needed."""
    edges = {(s, a, b) for a, row in enumerate(partners) for b, s in row.items() if a < b}
    root, weakest = list(range(len(partners))), [1.0] * len(partners)
    for similarity, a, b in sorted(edges, reverse=True):
        if root[a] != root[b]:
            old, new = root[a], root[b]
            root = [new if r == old else r for r in root]
            weakest[new] = similarity
    return [weakest[r] for r in root]


def plain_leader(partners, rank):
    kept = []
    for row in sorted(range(len(rank)), key=lambda row: rank[row]):
        if not any(row in partners[keeper] for keeper in kept):
            kept.append(row)
    keeper = list(range(len(rank)))
    for row in set(keeper) - set(kept):
        near = [other for other in kept if other in partners[row]]
        keeper[row] = min(near, key=lambda other: (-partners[row][other], rank[other]))
    return keeper


def plain_complete(partners, rank):
    keeper = [None] * len(rank)
    for head in sorted(range(len(rank)), key=lambda row: rank[row]):
        if keeper[head] is not None:
            continue
        group, keeper[head] = [head], head
        for row in sorted(partners[head], key=lambda row: (-partners[head][row], rank[row])):
            if keeper[row] is None and all(row in partners[member] for member in group):
                group.append(row)
                keeper[row] = head
    return keeper


@pytest.mark.parametrize("seed", SEEDS)
def test_components_and_weakest_links_equal_a_plain_search(seed):
    pairs, rank = random_pairs(seed)
    partners = partners_of(pairs, len(rank))
    component, weakest = components(len(rank), pairs)
    assert component.tolist() == plain_components(partners)
    assert weakest.tolist() == plain_weakest_links(partners)


@pytest.mark.parametrize("seed", SEEDS)
def test_leader_equals_its_plain_definition(seed):
    pairs, rank = random_pairs(seed)
    expected = plain_leader(partners_of(pairs, len(rank)), rank.tolist())
    assert by_leader(pairs, rank).tolist() == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_complete_linkage_equals_its_plain_definition(seed):
    pairs, rank = random_pairs(seed)
    expected = plain_complete(partners_of(pairs, len(rank)), rank.tolist())
    assert by_complete_link(pairs, rank).tolist() == expected


def test_a_chain_falls_apart_at_its_weakest_link():
    chain = Pairs(np.arange(4), np.arange(1, 5), np.array([0.9, 0.8, 0.7, 0.95], np.float32))
    component, weakest = components(6, chain)
    assert component.tolist() == [0, 0, 0, 0, 0, -1]
    assert weakest.tolist() == pytest.approx([0.7] * 5 + [1.0])


def test_long_chain_is_one_component_whatever_its_order():
    order = np.random.default_rng(0).permutation(50_000)
    left, right = np.minimum(order[:-1], order[1:]), np.maximum(order[:-1], order[1:])
    component, weakest = components(50_000, Pairs(left, right, np.ones(49_999, np.float32)))
    assert (component == 0).all()
    assert (weakest == 1.0).all()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_collapse_groups_identical_rows(seed, dtype):
    rows = chained_rows(seed, dtype)
    first, group = collapse(rows)
    keys = [row.tobytes() for row in rows]
    assert first.tolist() == sorted({keys.index(key) for key in keys})
    assert first[group].tolist() == [keys.index(key) for key in keys]


@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("seed", SEEDS)
def test_deduplicate_equals_the_linkage_over_all_pairs(seed, linkage):
    """Collapsing must not show, but for the keeper that equally similar twins share."""
    rows = chained_rows(seed)
    order = np.random.default_rng(seed).permutation(len(rows))
    collapsed = deduplicate(rows, 0.8, order, linkage)
    direct = cluster(find_pairs(rows, 0.8), order, rows, linkage)
    for name in ("component", "keeper", "similarity", "weakest_link"):
        assert getattr(collapsed, name).tobytes() == getattr(direct, name).tobytes(), name


@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("seed", SEEDS)
def test_identical_rows_share_their_keeper(seed, linkage):
    rows = chained_rows(seed, np.float16)
    order = np.random.default_rng(seed).permutation(len(rows))
    found = deduplicate(rows, 0.8, order, linkage)
    for a, b in itertools.combinations(range(len(rows)), 2):
        if np.array_equal(rows[a], rows[b]):
            assert found.keeper[a] == found.keeper[b]
            assert found.similarity[a] == found.similarity[b]


@pytest.mark.parametrize("linkage", ["leader", "complete"])
@pytest.mark.parametrize("seed", SEEDS)
def test_every_removable_row_is_similar_to_a_kept_one(seed, linkage):
    rows = chained_rows(seed, np.float16)
    found = deduplicate(rows, 0.8, np.arange(len(rows)), linkage)
    assert (found.similarity >= np.float32(0.8)).all()
    assert not found.removable[found.keeper].any()
    assert (found.component[found.removable] >= 0).all()
    assert (found.component[found.keeper] == found.component).all()


def test_components_linkage_tells_how_far_a_chain_leads():
    angles = np.deg2rad([0, 30, 60, 90])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = deduplicate(rows, 0.8, np.arange(4), "components")
    assert found.keeper.tolist() == [0, 0, 0, 0]
    assert found.similarity.tolist() == pytest.approx(np.cos(angles).tolist(), abs=1e-6)
    assert found.weakest_link.tolist() == pytest.approx([np.cos(np.pi / 6)] * 4)
    assert deduplicate(rows, 0.8, np.arange(4), "leader").keeper.tolist() == [0, 0, 2, 2]


def test_best_rank_of_identical_rows_is_kept():
    rows = np.ones((4, 1), np.float16)
    found = deduplicate(rows, 0.9, np.array([30, 10, 20, 40]))
    assert found.keeper.tolist() == [1, 1, 1, 1]
    assert found.component.tolist() == [0, 0, 0, 0]
    assert found.similarity.tolist() == found.weakest_link.tolist() == [1.0] * 4
    assert found.removable.tolist() == [True, False, True, True]


def test_a_blank_image_repeated_makes_no_square_of_pairs(monkeypatch):
    joined = []

    def counting_join(rows, *arguments, **how):
        pairs = find_pairs(rows, *arguments, **how)
        joined.append((len(rows), len(pairs)))
        return pairs

    monkeypatch.setattr(clusters_module, "find_pairs", counting_join)
    rows = np.concatenate([np.tile(np.eye(1, 64), (100_000, 1)), np.eye(64)[1:]])
    found = deduplicate(rows.astype(np.float16), 0.75, np.arange(len(rows)))
    assert joined == [(64, 0)]
    assert found.removable.sum() == 99_999
    assert (found.component >= 0).sum() == 100_000


def test_an_empty_set_and_a_set_without_copies_have_no_clusters():
    for rows in (np.empty((0, 8), np.float16), np.eye(8, dtype=np.float16)):
        for linkage in LINKAGES:
            found = deduplicate(rows, 0.5, np.arange(len(rows)), linkage)
            assert (found.component == -1).all()
            assert not found.removable.any()


def test_groups_give_the_same_clusters_and_their_recall(monkeypatch):
    monkeypatch.setattr(groups, "SIDES", (32,))
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((1000, 128))
    rows = np.concatenate([rows, rows[:200] + generator.standard_normal((200, 128)) * 0.4])
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    exact = deduplicate(rows, 0.75, np.arange(1200), method="exact")
    copies = find_copies(rows, 0.75, method="groups")
    quick = cluster_copies(copies, np.arange(1200), rows)
    assert quick.keeper.tolist() == exact.keeper.tolist()
    assert quick.similarity.tobytes() == exact.similarity.tobytes()
    assert copies.recall is not None
    assert copies.recall.found == copies.recall.expected > 150
    assert find_copies(rows, 0.75, method="exact").recall is None


def test_unknown_linkage_is_named_with_the_known():
    with pytest.raises(UsageError) as caught:
        deduplicate(np.eye(2, dtype=np.float32), 0.5, np.arange(2), "average")  # type: ignore[arg-type]
    message = "unknown linkage 'average'; use one of leader, components, complete"
    assert str(caught.value) == message


@pytest.mark.parametrize("linkage", ["leader", "complete"])
def test_many_small_groups_take_a_moment(linkage):
    """100,000 rows in pairs, triples and chains; 10 µs a row leave room for a slow machine."""
    generator = np.random.default_rng(0)
    left = np.arange(99_990)
    right = left + generator.integers(1, 10, len(left))
    left, right = left[left % 3 > 0], right[left % 3 > 0]
    similarity = generator.uniform(0.75, 1, len(left)).astype(np.float32)
    join = by_leader if linkage == "leader" else by_complete_link
    started = time.process_time()
    join(Pairs(left, right, similarity), generator.permutation(100_000))
    assert time.process_time() - started < 10


@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("seed", SEEDS)
def test_rows_left_out_of_the_pairs_found_are_as_if_they_had_never_been(seed, linkage):
    rows = chained_rows(seed, np.float16)
    generator = np.random.default_rng(seed)
    order, present = generator.permutation(len(rows)), generator.random(len(rows)) < 0.7
    found = cluster_copies(find_copies(rows, 0.8), order, rows, linkage, present)
    alone = deduplicate(rows[present], 0.8, order[present], linkage)
    place = np.flatnonzero(present)
    expected = np.where(alone.component < 0, -1, place[alone.component])
    assert found.component[present].tolist() == expected.tolist()
    assert found.keeper[present].tolist() == place[alone.keeper].tolist()
    assert found.similarity[present].tobytes() == alone.similarity.tobytes()
    assert found.weakest_link[present].tobytes() == alone.weakest_link.tobytes()
    assert (found.component[~present] == -1).all()
    assert not found.removable[~present].any()


@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("seed", SEEDS)
def test_clusters_of_biased_rows_are_those_of_the_lowered_pairs(seed, linkage):
    rows = np.unique(chained_rows(seed), axis=0)
    generator = np.random.default_rng(seed)
    bias = generator.uniform(0, 0.5, len(rows)).astype(np.float32)
    order = generator.permutation(len(rows))
    found = cluster_copies(find_copies(rows, 0.6, bias_N=bias), order, rows, linkage)
    pairs = find_pairs(rows, 0.6, "exact", bias)
    lowered = cluster(pairs, order, rows, linkage)
    assert found.component.tolist() == lowered.component.tolist()
    assert found.keeper.tolist() == lowered.keeper.tolist()
    own = (rows * rows[found.keeper]).sum(axis=1) - (bias + bias[found.keeper]) / 2
    np.testing.assert_allclose(found.similarity, own, atol=1e-5)
    linked = found.clustered
    assert found.weakest_link[linked].tolist() == lowered.weakest_link[linked].tolist()
    if linkage != "components":
        assert (found.similarity[found.removable] >= 0.6 - 1e-6).all()


def test_identical_rows_are_copies_whatever_their_bias():
    rows = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    copies = find_copies(rows, 0.9, bias_N=np.array([0.5, 0.5, 0.25], np.float32))
    found = cluster_copies(copies, np.arange(3), rows)
    assert found.keeper.tolist() == [0, 0, 2]
    assert found.similarity.tolist() == [0.5, 0.5, 0.75]
    assert found.weakest_link.tolist()[:2] == [0.5, 0.5]
