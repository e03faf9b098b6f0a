"""How well a ranking tells matches from the rest. Pure functions over arrays.

Legend of shapes: P scored pairs, T thresholds, Q queries, M matches that exist, K results of
a query.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

NOT_FOUND = np.iinfo(np.int64).max

# precision, recall and threshold at each place of a ranking
PrecisionRecall = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def precision_recall(scores_P: ArrayLike, is_match_P: ArrayLike, positives: int) -> PrecisionRecall:
    """Return precision, recall and threshold after each pair, in the order of falling scores.

    Pairs of one score are ordered with the matches last, the worst case, so that nobody gains
    by giving many pairs the same score.

    Args: scores_P: any shape, flattened; larger is more alike. is_match_P: bool, the same size.
        positives: matches that exist, found or not; at least the matches given.
    Returns: precisions, recalls and thresholds, float64 (P,) each; recalls never fall.
    Raises: ValueError: sizes differ, a score is NaN, or `positives` is too small.
    Source: the SSCD reference, `sscd/datasets/isc/metrics.py` (precision_recall).
    """
    scores = np.asarray(scores_P, dtype=np.float64).ravel()
    is_match = np.asarray(is_match_P, dtype=bool).ravel()
    if scores.size != is_match.size:
        raise ValueError(f"{scores.size} scores for {is_match.size} pairs")
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    if positives < max(1, int(is_match.sum())):
        raise ValueError(f"{positives} positives, but {int(is_match.sum())} pairs are matches")
    order = np.lexsort((is_match, -scores))
    found = np.cumsum(is_match[order])
    return found / np.arange(1, scores.size + 1), found / positives, scores[order]


def threshold_curve(scores_P: ArrayLike, is_match_P: ArrayLike, positives: int) -> PrecisionRecall:
    """Return precision, recall and threshold for each distinct score, the largest first.

    What a threshold really gives: pairs of one score are accepted together.
    Arguments and errors are those of `precision_recall`.
    """
    precisions, recalls, scores = precision_recall(scores_P, is_match_P, positives)
    last = np.flatnonzero(np.diff(scores, append=np.nan) != 0)  # NaN differs from every score
    return precisions[last], recalls[last], scores[last]


def f1_score(precisions_T: ArrayLike, recalls_T: ArrayLike) -> NDArray[np.float64]:
    """Return the harmonic mean of each precision and its recall; 0 where both are 0."""
    precisions, recalls = np.asarray(precisions_T, np.float64), np.asarray(recalls_T, np.float64)
    total = precisions + recalls
    return 2 * precisions * recalls / np.where(total > 0, total, 1.0)


def average_precision(precisions_P: ArrayLike, recalls_P: ArrayLike) -> float:
    """Return the sum of each precision times the recall that it adds, in [0, 1].

    Args: precisions_P, recalls_P: in the order of the ranking, recalls never falling.
    Raises: ValueError: recalls fall.
    Source: the SSCD reference, `sscd/datasets/isc/metrics.py` (average_precision).
    """
    recalls = np.asarray(recalls_P, dtype=np.float64)
    steps = np.diff(recalls, prepend=0.0)
    if (steps < 0).any():
        raise ValueError("recalls fall: they are not in the order of a ranking")
    return float(steps @ np.asarray(precisions_P, dtype=np.float64))


def micro_average_precision(scores_P: ArrayLike, is_match_P: ArrayLike, positives: int) -> float:
    """Return µAP: the average precision of all pairs of all queries in one ranking.

    Arguments and errors are those of `precision_recall`.
    """
    precisions, recalls, _ = precision_recall(scores_P, is_match_P, positives)
    return average_precision(precisions, recalls)


def recall_at_precision(
    scores_P: ArrayLike, is_match_P: ArrayLike, positives: int, precision: float = 0.9
) -> tuple[float, float]:
    """Return the best recall whose precision is at least `precision`, and its threshold.

    A pair is accepted when its score is at or above the threshold; pairs of one score are
    accepted together. Where no threshold is precise enough: recall 0, threshold infinity.
    Arguments and errors are those of `precision_recall`.
    """
    precisions, recalls, thresholds = precision_recall(scores_P, is_match_P, positives)
    valid = np.flatnonzero(precisions >= precision)
    if not valid.size:
        return 0.0, float("inf")
    best = valid[np.argmax(recalls[valid])]
    return float(recalls[best]), float(thresholds[best])


def trapezoid_average_precision(is_match_K: ArrayLike, positives: int) -> float:
    """Return the area under one query's curve, with straight lines between its points.

    Larger than `average_precision`, which counts each step at its lower end. Before the first
    result precision is 1.

    Args: is_match_K: bool, the results in the order of the ranking. positives: matches that
        exist, found or not.
    Raises: ValueError: `positives` is less than the matches given, or than 1.
    Source: the Copydays protocol, in the SSCD reference `sscd/datasets/copydays.py`
        (score_ap_from_ranks_1).
    """
    rank = np.flatnonzero(np.asarray(is_match_K, dtype=bool))
    if positives < max(1, rank.size):
        raise ValueError(f"{positives} positives, but {rank.size} results are matches")
    found = np.arange(rank.size)
    before = np.where(rank > 0, found / np.maximum(rank, 1), 1.0)
    after = (found + 1) / (rank + 1)
    return float((before + after).sum() / 2 / positives)


def match_ranks(
    query_P: ArrayLike, scores_P: ArrayLike, is_match_P: ArrayLike, positives: int
) -> NDArray[np.int64]:
    """Return how many other results of its query score as much as each match, or more.

    Args: query_P: a number for the query of each pair, in any order.
    Returns: int64 (M,), M = `positives`: 0 is the best; `NOT_FOUND` for a match that is not
        among the pairs.
    Raises: ValueError: `positives` is less than the matches given.
    Source: the SSCD reference, `sscd/datasets/isc/metrics.py` (find_tp_ranks).
    """
    query, scores = np.asarray(query_P).ravel(), np.asarray(scores_P, dtype=np.float64).ravel()
    is_match = np.asarray(is_match_P, dtype=bool).ravel()
    if positives < int(is_match.sum()):
        raise ValueError(f"{positives} positives, but {int(is_match.sum())} pairs are matches")
    order = np.lexsort((-scores, query))
    query, scores, is_match = query[order], scores[order], is_match[order]
    first = np.searchsorted(query, query)  # where each pair's query begins
    changes = (np.diff(query) != 0) | (np.diff(scores) != 0)
    ends = np.flatnonzero(np.append(changes, True))  # where each run of equal scores ends
    last = ends[np.searchsorted(ends, np.arange(query.size))]
    ranks = np.full(positives, NOT_FOUND)
    ranks[: int(is_match.sum())] = (last - first)[is_match]
    return ranks


def accuracy_at_k(ranks_Q: ArrayLike, k: int = 1) -> float:
    """Return the share of queries whose match is among the first `k`.

    Args: ranks_Q: how many results come before each query's match, as `match_ranks` counts.
    Raises: ValueError: no queries, or k < 1.
    """
    ranks = np.asarray(ranks_Q)
    if not ranks.size or k < 1:
        raise ValueError(f"accuracy at {k} of {ranks.size} queries")
    return float((ranks < k).mean())
