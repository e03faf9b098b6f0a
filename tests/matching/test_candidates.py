"""The best candidates of a search against a sort of all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sscd_cli.matching import candidates
from sscd_cli.matching.candidates import Candidates, best_overall, best_within, nearest

Floats = NDArray[np.float32]
Triples = list[tuple[int, int]]


def unit_rows(rows: int, seed: int, dimensions: int = 12) -> Floats:
    values = np.random.default_rng(seed).normal(size=(rows, dimensions)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def pairs(found: Candidates) -> Triples:
    return list(zip(found.query.tolist(), found.reference.tolist(), strict=True))


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tiles and a list that is cut down many times, on small sets."""
    monkeypatch.setattr(candidates, "_TILE_ROWS", 7)
    monkeypatch.setattr(candidates, "_TILE_COLUMNS", 11)
    monkeypatch.setattr(candidates, "_LEAST_BUFFER", 1)


def test_nearest_are_the_best_of_each_query() -> None:
    queries, references = unit_rows(9, 1), unit_rows(40, 2)
    found = nearest(queries, references, 5)
    scores = queries @ references.T
    wanted = [(q, int(r)) for q in range(9) for r in np.argsort(-scores[q])[:5]]
    assert pairs(found) == wanted
    assert found.score == pytest.approx(scores[found.query, found.reference], abs=1e-6)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("count", [1, 20, 150, 900])
@pytest.mark.parametrize("shifted", [False, True])
def test_best_overall_are_the_best_of_all_pairs(count: int, shifted: bool) -> None:
    queries, references = unit_rows(20, 3), unit_rows(40, 4)
    offset = np.linspace(-1, 1, 20, dtype=np.float32) if shifted else np.zeros(20, np.float32)
    found = best_overall(queries, references, count, offset if shifted else None)
    scores = queries @ references.T + offset[:, None]
    best = np.argsort(-scores, axis=None)[:count]
    assert sorted(pairs(found)) == sorted((int(i) // 40, int(i) % 40) for i in best)
    assert found.score.min() == pytest.approx(scores.ravel()[best].min(), abs=1e-6)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("count", [1, 30, 400])
@pytest.mark.parametrize("shifted", [False, True])
def test_best_within_a_set_gives_each_pair_once(count: int, shifted: bool) -> None:
    rows = unit_rows(25, 5)
    offset = np.linspace(-1, 1, 25, dtype=np.float32) if shifted else np.zeros(25, np.float32)
    scores = rows @ rows.T + (offset[:, None] + offset) / 2
    left, right = np.triu_indices(25, 1)
    best = np.argsort(-scores[left, right])[:count]
    found = best_within(rows, count, offset if shifted else None)
    wanted = zip(left[best].tolist(), right[best].tolist(), strict=True)
    assert sorted(pairs(found)) == sorted(wanted)
    assert found.score == pytest.approx(scores[found.query, found.reference], abs=1e-6)


def test_the_candidates_of_a_query_come_best_first() -> None:
    for found in (
        nearest(unit_rows(5, 1), unit_rows(9, 2), 4),
        best_overall(unit_rows(5, 1), unit_rows(9, 2), 17),
        best_within(unit_rows(9, 2), 17),
    ):
        keys = list(zip(found.query.tolist(), (-found.score).tolist(), strict=True))
        assert keys == sorted(keys)


def test_fewer_references_than_asked_for_are_all_returned() -> None:
    assert pairs(nearest(unit_rows(1, 1), unit_rows(2, 2), 10)) in (
        [(0, 0), (0, 1)],
        [(0, 1), (0, 0)],
    )
    assert len(best_overall(unit_rows(3, 1), unit_rows(2, 2), 10)) == 6


def test_nothing_is_found_among_nothing() -> None:
    none = np.empty((0, 12), np.float32)
    assert len(nearest(none, unit_rows(2, 1), 3)) == len(nearest(unit_rows(2, 1), none, 3)) == 0
    assert len(best_overall(none, none, 5)) == len(best_within(none, 5)) == 0
