"""What scores tell of pairs that are known to be copies or not: every figure, every threshold.

Legend of shapes: P scored pairs, T thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import floor

import numpy as np
from numpy.typing import NDArray

from sscd_cli.evaluation import metrics

WANTED_PRECISIONS = (0.90, 0.95, 0.99)
_STEP = 0.05
_ROWS = 20


@dataclass(frozen=True, slots=True)
class Point:
    """What a threshold gives: `accepted` pairs score as much or more.

    precision and f1 are None where none does; recall and f1 where there is no copy to find.
    """

    threshold: float
    accepted: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class GroupScore:
    """One group of pairs at a threshold; precision is None where only copies have groups."""

    group: str
    pairs: int
    copies: int
    micro_ap: float | None
    point: Point


@dataclass(frozen=True, eq=False)
class PairReport:
    """Scored pairs, from which each figure follows.

    scores: float32 (P,); is_copy: bool (P,). group: (P,) text, empty for a pair of no group.
    copies_of_group: how many there are, more than are among the pairs where some scored too low
    to be listed. labelled: whether pairs that are no copies belong to groups, too.
    """

    scores: NDArray[np.float32]
    is_copy: NDArray[np.bool_]
    group: NDArray[np.str_]
    copies_of_group: dict[str, int]
    labelled: bool

    @property
    def copies(self) -> int:
        return sum(self.copies_of_group.values())

    @cached_property
    def curve(self) -> metrics.PrecisionRecall:
        """Precision, recall and threshold at each distinct score of a copy, the largest first.

        Between two of them recall stays and precision only falls.
        """
        curve = metrics.threshold_curve(self.scores, self.is_copy, self.copies)
        rises = np.diff(curve[1], prepend=0.0) > 0
        return curve[0][rises], curve[1][rises], curve[2][rises]

    @cached_property
    def micro_ap(self) -> float:
        return metrics.micro_average_precision(self.scores, self.is_copy, self.copies)

    @cached_property
    def best_f1(self) -> Point:
        """The point of the largest F1, at its highest threshold."""
        precisions, recalls, thresholds = self.curve
        return self.at(float(thresholds[np.argmax(metrics.f1_score(precisions, recalls))]))

    def at(self, threshold: float) -> Point:
        return _point(self.scores, self.is_copy, self.copies, threshold)

    def at_precision(self, precision: float) -> Point | None:
        """Return the point of the best recall with that precision, None if it is never reached."""
        _, threshold = metrics.recall_at_precision(
            self.scores, self.is_copy, self.copies, precision
        )
        return self.at(threshold) if np.isfinite(threshold) else None

    def over_thresholds(self) -> list[Point]:
        """Return the points at multiples of 0.05 from the highest score to the lowest copy's."""
        last, first = (
            floor(round(float(score) / _STEP, 6))
            for score in (self.scores.max(), self.scores[self.is_copy].min())
        )
        first = max(first, last - _ROWS)
        return [self.at(round(step * _STEP, 2)) for step in range(last, first - 1, -1)]

    def groups(self, threshold: float) -> list[GroupScore]:
        """Return each group's score, in order of their names."""
        groups = sorted(self.copies_of_group)
        order = np.argsort(self.group, kind="stable")
        ends = [np.searchsorted(self.group[order], groups, side) for side in ("left", "right")]
        return [
            self._of_group(group, order[first:last], threshold)
            for group, first, last in zip(groups, *ends, strict=True)
        ]

    def _of_group(self, group: str, mine: NDArray[np.int64], threshold: float) -> GroupScore:
        scores, is_copy, copies = self.scores[mine], self.is_copy[mine], self.copies_of_group[group]
        point = _point(scores, is_copy, copies, threshold)
        ranked = self.labelled and copies > 0
        return GroupScore(
            group=group,
            pairs=len(mine) if self.labelled else copies,
            copies=copies,
            micro_ap=metrics.micro_average_precision(scores, is_copy, copies) if ranked else None,
            point=point
            if self.labelled
            else Point(threshold, point.accepted, None, point.recall, None),
        )


def _point(
    scores_P: NDArray[np.float32], is_copy_P: NDArray[np.bool_], copies: int, threshold: float
) -> Point:
    # a threshold that was read off a score is a float32 made longer
    taken = scores_P >= np.float32(threshold)
    accepted, right = int(taken.sum()), int((taken & is_copy_P).sum())
    precision = right / accepted if accepted else None
    recall = right / copies if copies else None
    f1 = None
    if precision is not None and recall is not None:
        f1 = float(metrics.f1_score(precision, recall))
    return Point(threshold, accepted, precision, recall, f1)
