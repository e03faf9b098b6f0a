"""Crowds of near-copies: few pairs are kept, and the clusters are those of all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from joins import crowd

from sscd_cli.errors import SscdError
from sscd_cli.matching import cells as cells_of
from sscd_cli.matching import clusters, crowds, hubs, products
from sscd_cli.matching.clusters import cluster, cluster_copies, find_copies
from sscd_cli.matching.crowds import forest_of
from sscd_cli.matching.forest import components, spanning_forest
from sscd_cli.matching.hubs import crowd_forest, expected_pairs, resembles_many
from sscd_cli.matching.join import find_pairs


def ends(pairs):
    return pairs.left, pairs.right, pairs.similarity


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    for module in (products, cells_of, hubs):
        monkeypatch.setattr(module, "ROWS", 64)
        monkeypatch.setattr(module, "COLUMNS", 96)
    monkeypatch.setattr(crowds, "_BLOCK", 32)
    monkeypatch.setattr(crowds, "_HELD", 500)
    monkeypatch.setattr(hubs, "_BLOCK", 32)
    monkeypatch.setattr(hubs, "_HELD", 200)
    monkeypatch.setattr(hubs, "_SMALL", 8)
    monkeypatch.setattr(hubs, "_SUSPECTS", 16)
    monkeypatch.setattr(hubs, "_SAMPLE", 128)


@pytest.mark.parametrize("dense", [0, 4, 10**6])
@pytest.mark.parametrize("seed", range(6))
def test_a_forest_has_the_components_and_weakest_links_of_all_pairs(seed, dense, monkeypatch):
    monkeypatch.setattr(crowds, "_DENSE", dense)
    rows = crowd(seed=seed)
    every, forest = find_pairs(rows, 0.75), forest_of(rows, 0.75)
    assert len(forest) < len(rows) < len(every) / 20
    expected, weakest = components(len(rows), every)
    component, found = components(len(rows), forest)
    assert component.tolist() == expected.tolist()
    np.testing.assert_allclose(found, weakest, atol=2e-6)
    few, many = (
        {*zip(*map(np.ndarray.tolist, ends(pairs)), strict=True)} for pairs in (forest, every)
    )
    assert few <= many


def loose(seed):
    """Chains and knots of near-copies, a crowd in two parts, and twins among strangers."""
    return np.concatenate([crowd(seed=seed), -crowd(200, 40, seed + 9), crowd(3, 2, seed)])


@pytest.mark.parametrize("threshold", [0.4, 0.6, 0.75, 0.9])
@pytest.mark.parametrize("seed", range(6))
def test_a_forest_around_hubs_has_the_components_and_weakest_links_of_all_pairs(seed, threshold):
    rows = loose(seed)
    every, forest = find_pairs(rows, threshold), crowd_forest(rows, threshold)
    expected, weakest = components(len(rows), every)
    component, found = components(len(rows), forest)
    assert component.tolist() == expected.tolist()
    np.testing.assert_allclose(found, weakest, atol=2e-6)
    sizes = np.bincount(component[component >= 0])
    assert len(forest) == (sizes[sizes > 0] - 1).sum()
    assert (forest.left < forest.right).all()


@pytest.mark.parametrize("least", [1, 32, 300])
def test_rows_with_many_look_alikes_are_those_in_as_many_pairs(least):
    rows = loose(0)
    pairs = find_pairs(rows, 0.75)
    count = np.bincount(np.concatenate([pairs.left, pairs.right]), minlength=len(rows))
    assert resembles_many(rows, 0.75, least).tolist() == (count >= least).tolist()


def test_the_pairs_of_a_sample_tell_how_many_there_are():
    rows = crowd(4000, 600)
    assert expected_pairs(rows, 0.75) == pytest.approx(len(find_pairs(rows, 0.75)), rel=0.3)
    assert expected_pairs(rows[:1], 0.75) == expected_pairs(rows[:0], 0.75) == 0


def test_rows_that_are_not_compared_have_identical_copies_only():
    rows = crowd(40, 6)
    rows[5] = rows[20]
    among = np.arange(len(rows)) >= 10
    copies = find_copies(rows, 0.75, among_N=among)
    assert copies.group[5] == copies.group[20]
    found = cluster_copies(copies, np.arange(len(rows)), rows)
    twins = np.isin(np.arange(10), 5)
    assert (found.component[:10] >= 0).tolist() == twins.tolist()
    alone = cluster_copies(find_copies(rows[10:], 0.75), np.arange(36), rows[10:])
    assert (found.component[10:] >= 0).tolist() == (alone.component >= 0).tolist()


@pytest.mark.parametrize("linkage", ["leader", "components"])
@pytest.mark.parametrize("seed", range(6))
def test_clusters_of_a_forest_are_those_of_all_pairs(seed, linkage, monkeypatch):
    rows = crowd(seed=seed)
    order = np.random.default_rng(seed).permutation(len(rows))
    expected = cluster(find_pairs(rows, 0.75), order, rows, linkage)
    monkeypatch.setattr(clusters, "_HELD", 10)
    copies = find_copies(rows, 0.75)
    assert copies.forest_at == 0.75
    found = cluster_copies(copies, order, rows, linkage)
    assert found.component.tolist() == expected.component.tolist()
    assert found.keeper.tolist() == expected.keeper.tolist()
    assert found.similarity.tobytes() == expected.similarity.tobytes()
    np.testing.assert_allclose(found.weakest_link, expected.weakest_link, atol=2e-6)


@pytest.mark.parametrize("seed", range(3))
def test_a_forest_is_grown_anew_when_rows_are_left_out(seed, monkeypatch):
    rows = crowd(seed=seed)
    generator = np.random.default_rng(seed)
    order, present = generator.permutation(len(rows)), generator.random(len(rows)) < 0.8
    every = cluster_copies(find_copies(rows, 0.75), order, rows, "leader", present)
    monkeypatch.setattr(clusters, "_HELD", 10)
    found = cluster_copies(find_copies(rows, 0.75), order, rows, "leader", present)
    assert found.component.tolist() == every.component.tolist()
    assert found.keeper.tolist() == every.keeper.tolist()


def test_complete_linkage_of_a_crowd_is_refused_with_a_remedy(monkeypatch):
    monkeypatch.setattr(clusters, "_HELD", 10)
    rows = crowd()
    with pytest.raises(SscdError, match=r"too many images are alike.*use --linkage leader"):
        cluster_copies(find_copies(rows, 0.75), np.arange(len(rows)), rows, "complete")


def test_a_spanning_forest_holds_one_pair_less_than_its_trees_have_rows():
    pairs = find_pairs(crowd(), 0.75)
    forest = spanning_forest(460, pairs)
    component, _ = components(460, pairs)
    sizes = np.bincount(component[component >= 0])
    assert len(forest) == (sizes[sizes > 0] - 1).sum()
