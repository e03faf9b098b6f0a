"""Pruned tiles: no wrong pair, enough of the right ones, and the same for every machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from joins import as_dict, descriptors, unit

from sscd_cli.joining import pruned
from sscd_cli.joining.pruned import Grouped, cells_in_groups, sampled_choices
from sscd_cli.matching import groups
from sscd_cli.matching.cells import Cells
from sscd_cli.matching.join import cross_pairs, find_pairs

D = 64


@pytest.fixture(autouse=True)
def _few_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruned, "SIDE", 32)
    monkeypatch.setattr(pruned, "_FEW", 0)


def marked(blocks: Any, height: int, width: int) -> Any:
    """Return bool (height, width): the cells that some blocks mark."""
    found = np.zeros((height, width), bool)
    for block in blocks:
        assert isinstance(block, Cells)
        found[block.marked()] = True
    return found


def groups_of(rows: Any, choices: int) -> list[set[int]]:
    """Return the groups of each row, by the rows of each group."""
    grouped = Grouped.of(rows, choices)
    found: list[set[int]] = [set() for _ in rows]
    for group in range(32**2):
        for row in grouped.rows(group).tolist():
            found[row].add(group)
    return found


@pytest.mark.parametrize("full", [0, 64])
def test_rows_meet_where_they_share_a_group_and_reach_the_cut(
    full: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruned, "_FULL", full)
    left, right = descriptors(120, D), descriptors(90, D, seed=1)
    right[:30] = left[:30]
    sides = Grouped.of(left, 8), Grouped.of(right, 8)
    found = marked(cells_in_groups((left, right), sides, 0.7), 120, 90)
    one, other = groups_of(left, 8), groups_of(right, 8)
    assert {len(groups) for groups in one} == {8}
    share = np.array([[bool(a & b) for b in other] for a in one])
    reach = left @ right.T >= 0.7
    assert not (reach & share & ~found).any()
    # crowded groups are joined as one, others alone; a bound on the product never loses a pair
    assert found.sum() < 3 * (reach & share).sum()
    assert 30 <= (reach & share).sum() < reach.sum() or full == 0


def test_one_set_is_its_upper_triangle() -> None:
    rows = descriptors(150, D)
    groups = Grouped.of(rows, 8)
    found = marked(cells_in_groups((rows, rows), (groups, groups), 0.7), 150, 150)
    again = Grouped.of(rows.copy(), 8)
    both = marked(cells_in_groups((rows, rows.copy()), (groups, again), 0.7), 150, 150)
    assert found.any()
    assert (np.triu(both, 1) == found).all()


def test_groups_do_not_depend_on_who_else_is_there() -> None:
    rows = descriptors(60, D)
    alone = [groups_of(rows[i : i + 1], 8)[0] for i in range(60)]
    assert alone == groups_of(rows, 8)


def test_choices_find_of_all_pairs_what_the_sample_promised() -> None:
    rows = descriptors(3000, D)
    blocks = [rows[:1000], rows[1000:1700], rows[1700:]]
    every = find_pairs(rows, 0.75, "exact")
    chosen = []
    for wanted in (0.9, 0.99, 0.999):
        choices, recall = sampled_choices(rows[::3], blocks, 0.75, wanted)
        assert choices is not None
        groups = Grouped.of(rows, choices)
        cells = marked(cells_in_groups((rows, rows), (groups, groups), 0.75), 3000, 3000)
        share = cells[every.left, every.right].mean()
        assert wanted <= recall.share
        assert share == pytest.approx(recall.share, abs=0.03)
        chosen.append(choices)
    assert chosen == sorted(chosen)
    assert chosen[0] < chosen[-1]


def test_the_sample_counts_pairs_of_rows_that_differ() -> None:
    rows = descriptors(800, D)
    rows[400:500] = rows[0]
    _, recall = sampled_choices(rows[::2], [rows[:500], rows[500:]], 0.75, 0.9)
    pairs = as_dict(cross_pairs(rows[::2], rows, 0.75))
    assert recall.expected == sum(score < 1 for score in pairs.values())


def test_a_crowd_is_sampled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruned, "_MOST", 50)
    rows = descriptors(600, D)
    rows[:300] = unit(rows[0] + 0.02 * np.random.default_rng(0).standard_normal((300, D)))
    choices, recall = sampled_choices(rows, [rows[:200], rows[200:]], 0.75, 0.9)
    assert choices is not None
    assert 50 <= recall.expected <= 200


@pytest.mark.parametrize("threshold", [0.9, 0.75, 0.3])
def test_without_enough_pairs_those_right_at_the_threshold_stand_for_them(
    threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruned, "SIDE", 256)
    monkeypatch.setattr(groups, "_SIMULATED", 500)
    strangers = unit(np.random.default_rng(0).standard_normal((300, 512))) * np.float32(1)
    choices, recall = sampled_choices(strangers, [strangers], threshold, 0.95)
    low, high = {0.9: (8, 20), 0.75: (30, 60), 0.3: (None, None)}[threshold]
    assert choices is None if low is None or high is None else low <= (choices or 0) <= high
    assert recall.expected < 100
