"""The metrics against loops that follow their definitions step by step."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from sscd_cli.evaluation.metrics import (
    NOT_FOUND,
    accuracy_at_k,
    average_precision,
    f1_score,
    match_ranks,
    micro_average_precision,
    precision_recall,
    recall_at_precision,
    threshold_curve,
    trapezoid_average_precision,
)

Pairs = list[tuple[float, bool]]


def ranking(seed: int, levels: int) -> tuple[Pairs, int]:
    """Random scored pairs, many of them tied, and how many positives there are in all."""
    rng = random.Random(seed)
    pairs = [
        (min(levels, rng.randrange(levels) + 2 * match) / levels, match)
        for match in (rng.random() < 0.4 for _ in range(rng.randint(1, 80)))
    ]
    return pairs, max(1, sum(match for _, match in pairs)) + rng.randrange(3)


def looped_micro_ap(pairs: Pairs, positives: int) -> float:
    found, recall_before, total = 0, 0.0, 0.0
    for seen, (_, match) in enumerate(sorted(pairs, key=lambda p: (-p[0], p[1])), start=1):
        found += match
        recall = found / positives
        total += (recall - recall_before) * (found / seen)
        recall_before = recall
    return total


def looped_recall_at_precision(
    pairs: Pairs, positives: int, precision: float
) -> tuple[float, float]:
    """Try every threshold there is; the best recall, at its highest threshold."""
    best = (0.0, math.inf)
    for threshold in sorted({score for score, _ in pairs}, reverse=True):
        accepted = [match for score, match in pairs if score >= threshold]
        recall = sum(accepted) / positives
        if sum(accepted) / len(accepted) >= precision and recall > best[0]:
            best = (recall, threshold)
    return best


def split(pairs: Pairs) -> tuple[list[float], list[bool]]:
    return [score for score, _ in pairs], [match for _, match in pairs]


@pytest.mark.parametrize("levels", [1, 3, 12, 10**9])
def test_micro_average_precision_equals_a_loop_over_the_ranking(levels: int) -> None:
    for seed in range(60):
        pairs, positives = ranking(seed, levels)
        got = micro_average_precision(*split(pairs), positives)
        assert got == pytest.approx(looped_micro_ap(pairs, positives), abs=1e-12)


@pytest.mark.parametrize("precision", [0.5, 0.9, 1.0])
@pytest.mark.parametrize("levels", [3, 12, 10**9])
def test_recall_at_precision_equals_a_try_of_every_threshold(levels: int, precision: float) -> None:
    for seed in range(60):
        pairs, positives = ranking(seed, levels)
        got = recall_at_precision(*split(pairs), positives, precision)
        assert got == pytest.approx(looped_recall_at_precision(pairs, positives, precision))


def test_ties_count_as_badly_as_they_can() -> None:
    assert micro_average_precision([0.5, 0.5], [True, False], 1) == 0.5
    assert micro_average_precision([0.5, 0.5], [False, True], 1) == 0.5


def test_the_order_of_the_input_is_of_no_account() -> None:
    pairs, positives = ranking(7, 5)
    shuffled = random.Random(1).sample(pairs, len(pairs))
    assert micro_average_precision(*split(pairs), positives) == micro_average_precision(
        *split(shuffled), positives
    )


def test_what_was_never_listed_lowers_recall() -> None:
    assert micro_average_precision([0.9, 0.8], [True, True], 4) == 0.5
    assert recall_at_precision([0.9, 0.8], [True, True], 4) == (0.5, 0.8)


def test_no_threshold_is_precise_enough() -> None:
    assert recall_at_precision([0.9, 0.8], [False, True], 1) == (0.0, math.inf)


def test_an_empty_list_finds_nothing() -> None:
    assert micro_average_precision([], [], 3) == 0
    assert recall_at_precision([], [], 3) == (0.0, math.inf)


def test_the_curve_of_an_example_done_by_hand() -> None:
    precisions, recalls, thresholds = precision_recall(
        np.array([[0.9, 0.2], [0.7, 0.8]]), np.array([[True, False], [True, False]]), 2
    )
    assert precisions.tolist() == [1, 0.5, pytest.approx(2 / 3), 0.5]
    assert recalls.tolist() == [0.5, 0.5, 1, 1]
    assert thresholds.tolist() == [0.9, 0.8, 0.7, 0.2]


def test_average_precision_refuses_recalls_that_fall() -> None:
    with pytest.raises(ValueError, match="recalls fall"):
        average_precision([1.0, 1.0], [1.0, 0.5])


@pytest.mark.parametrize(
    ("scores", "matches", "positives", "reason"),
    [
        ([0.1, 0.2], [True], 1, "2 scores for 1 pairs"),
        ([math.nan], [True], 1, "a score is NaN"),
        ([0.1, 0.2], [True, True], 1, "1 positives, but 2 pairs are matches"),
        ([0.1], [False], 0, "0 positives"),
    ],
)
def test_impossible_input_is_refused(
    scores: list[float], matches: list[bool], positives: int, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        micro_average_precision(scores, matches, positives)


def test_accuracy_at_k_counts_the_first_k_answers() -> None:
    ranks = [0, 1, 0, 9, 10]
    assert [accuracy_at_k(ranks, k) for k in (1, 2, 10, 11)] == [0.4, 0.6, 0.8, 1.0]
    with pytest.raises(ValueError, match="accuracy at 0 of 5 queries"):
        accuracy_at_k(ranks, 0)
    with pytest.raises(ValueError, match="accuracy at 1 of 0 queries"):
        accuracy_at_k([])


def test_the_curve_has_one_point_for_each_distinct_score() -> None:
    for seed in range(60):
        pairs, positives = ranking(seed, 6)
        curve = zip(*threshold_curve(*split(pairs), positives), strict=True)
        wanted = []
        for threshold in sorted({score for score, _ in pairs}, reverse=True):
            accepted = [match for score, match in pairs if score >= threshold]
            wanted.append((sum(accepted) / len(accepted), sum(accepted) / positives, threshold))
        assert list(curve) == wanted


def test_f1_is_the_harmonic_mean() -> None:
    assert f1_score([1.0, 0.5, 0.0, 0.0], [1.0, 0.25, 0.0, 1.0]).tolist() == [1, 1 / 3, 0, 0]


def test_a_perfect_file_of_the_challenges_4991_positives_scores_1_and_half_of_it_one_half() -> None:
    pairs = [(1.0, True)] * 4991
    assert micro_average_precision(*split(pairs), 4991) == pytest.approx(1.0, abs=1e-12)
    half = micro_average_precision(*split(pairs[::2]), 4991)
    assert half == pytest.approx(2496 / 4991, abs=1e-12)
    assert round(half, 3) == 0.5


def looped_area(matches: list[bool], positives: int) -> float:
    """Add up the trapezoids between one found match and the next, result by result."""
    area, found = 0.0, 0
    for seen, match in enumerate(matches):
        if match:
            before = found / seen if seen else 1.0
            found += 1
            area += (before + found / (seen + 1)) / 2 / positives
    return area


def test_the_area_under_a_querys_curve_equals_its_trapezoids() -> None:
    rng = random.Random(3)
    queries = [[rng.random() < 0.3 for _ in range(rng.randrange(40))] for _ in range(60)]
    positives = [sum(matches) + rng.randint(1, 3) for matches in queries]
    areas = [looped_area(*query) for query in zip(queries, positives, strict=True)]
    for matches, count, area in zip(queries, positives, areas, strict=True):
        assert trapezoid_average_precision(matches, count) == pytest.approx(area)


def test_the_area_of_an_example_done_by_hand() -> None:
    assert trapezoid_average_precision([True], 1) == 1
    assert trapezoid_average_precision([False, True], 1) == 0.25
    assert trapezoid_average_precision([True, False, True], 2) == (1 + (1 / 2 + 2 / 3) / 2) / 2
    assert trapezoid_average_precision([], 3) == 0
    with pytest.raises(ValueError, match="1 positives, but 2 results are matches"):
        trapezoid_average_precision([True, True], 1)


def test_ranks_count_the_other_results_of_the_query_that_score_as_much() -> None:
    rng = random.Random(5)
    for _ in range(60):
        pairs = [(rng.randrange(5), rng.randrange(6), rng.random() < 0.3) for _ in range(40)]
        wanted = sorted(
            sum(other == query and rest >= score for other, rest, _ in pairs) - 1
            for query, score, match in pairs
            if match
        )
        ranks = match_ranks(*zip(*pairs, strict=True), len(wanted) + 2)
        assert sorted(ranks.tolist()) == [*wanted, NOT_FOUND, NOT_FOUND]


def test_ranks_of_nothing_found() -> None:
    assert match_ranks([], [], [], 2).tolist() == [NOT_FOUND, NOT_FOUND]
    with pytest.raises(ValueError, match="0 positives, but 1 pairs are matches"):
        match_ranks([0], [0.5], [True], 0)
