"""Crowds of near-copies: few pairs are kept, and the clusters are those of all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from joins import crowd

from sscd_cli.errors import SscdError
from sscd_cli.matching import cells as cells_of
from sscd_cli.matching import clusters, crowds, products
from sscd_cli.matching.clusters import cluster, cluster_copies, find_copies
from sscd_cli.matching.crowds import forest_of
from sscd_cli.matching.forest import components, spanning_forest
from sscd_cli.matching.join import find_pairs


def ends(pairs):
    return pairs.left, pairs.right, pairs.similarity


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    for module in (products, cells_of):
        monkeypatch.setattr(module, "ROWS", 64)
        monkeypatch.setattr(module, "COLUMNS", 96)
    monkeypatch.setattr(crowds, "_BLOCK", 32)
    monkeypatch.setattr(crowds, "_HELD", 500)


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
