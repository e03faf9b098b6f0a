"""How well a ranking tells matches from the rest. Pure functions over arrays.

Legend of shapes: P scored pairs, Q queries.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Curve = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def precision_recall(scores_P: ArrayLike, is_match_P: ArrayLike, positives: int) -> Curve:
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


def accuracy_at_k(ranks_Q: ArrayLike, k: int = 1) -> float:
    """Return the share of queries whose match is among the first `k`.

    Args: ranks_Q: how many wrong answers come before each query's match; 0 is the best.
    Raises: ValueError: no queries, or k < 1.
    """
    ranks = np.asarray(ranks_Q)
    if not ranks.size or k < 1:
        raise ValueError(f"accuracy at {k} of {ranks.size} queries")
    return float((ranks < k).mean())
