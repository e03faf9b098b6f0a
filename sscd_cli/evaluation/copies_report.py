"""What was found of the copies that were made: every figure, from the scores alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sscd_cli.edits.named import Edit
from sscd_cli.evaluation import metrics

Floats = NDArray[np.float32]

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class EditScore:
    """What was found of the copies that one edit, or a group of edits, made.

    recall is that at the report's threshold; strength is empty where several are pooled.
    """

    edit: str
    strength: str
    mild: bool
    copies: int
    recall: float
    micro_ap: float
    accuracy_at_1: float


@dataclass(frozen=True, eq=False)
class CopiesReport:
    """The scores of every copy, from which each figure follows.

    edits: what made the copies; edit_of: the index into it of each query's edit, (Q,).
    scores: float32 (Q, K), the K largest similarities of each query, -inf where there were fewer;
    is_match: bool (Q, K), true where the reference is the query's original; at most one in a row.
    originals: their descriptors, float32 (N, D). references: originals and distractors. bias:
    float32 (N,), what normalisation takes from the similarities of each original, if anything.
    """

    edits: tuple[Edit, ...]
    edit_of: NDArray[np.int64]
    scores: Floats
    is_match: NDArray[np.bool_]
    originals: Floats
    references: int
    precision: float
    bias: Floats | None = None

    @cached_property
    def micro_ap(self) -> float:
        """µAP over all copies in one ranking."""
        return self._micro_ap(np.ones(self.edit_of.size, dtype=bool))

    @cached_property
    def operating_point(self) -> tuple[float, float]:
        """Recall over all copies and threshold where precision first is what was asked for."""
        return metrics.recall_at_precision(*self._pool(slice(None)), precision=self.precision)

    @property
    def recall(self) -> float:
        return self.operating_point[0]

    @property
    def threshold(self) -> float:
        """The lowest similarity at which the pooled precision holds; infinity where none does."""
        return self.operating_point[1]

    @cached_property
    def rows(self) -> tuple[EditScore, ...]:
        """One score for each edit and strength, in the order of the edits."""
        return tuple(
            self._score(edit.name, edit.strength, edit.mild, self.edit_of == index)
            for index, edit in enumerate(self.edits)
        )

    @cached_property
    def by_name(self) -> tuple[EditScore, ...]:
        """One score for each edit, its strengths pooled; mild where all of them are."""
        return tuple(self._by_name(name) for name in dict.fromkeys(e.name for e in self.edits))

    @cached_property
    def total(self) -> EditScore:
        """The score of all edits pooled."""
        return self._score("all", "", False, np.ones(self.edit_of.size, dtype=bool))

    def recall_at(self, threshold: float) -> float:
        """Return the share of all copies found at or above `threshold`."""
        return float(self._found(threshold).mean())

    def false_pairs_per_1000(self, threshold: float) -> float:
        """Return how many pairs of different originals reach `threshold`, for 1,000 originals.

        Near-identical scenes count, and so do true duplicates among the originals: look at them
        before you blame the detector. A pair is lowered by the mean of its two biases, as where
        pairs of one set are searched. Takes time that grows with N², memory that does not.
        """
        count, pairs = len(self.originals), 0
        for start in range(0, count, _ROWS_AT_ONCE):
            block = self.originals[start : start + _ROWS_AT_ONCE]
            similarity = block @ self.originals[start:].T
            if self.bias is not None:
                ours, theirs = self.bias[start : start + len(block), None], self.bias[start:]
                similarity -= (ours + theirs) / 2
            pairs += int(np.triu(similarity >= threshold, 1).sum())
        return 1000 * pairs / count

    def _by_name(self, name: str) -> EditScore:
        of_name = np.array([edit.name == name for edit in self.edits])
        mild = all(edit.mild for edit in self.edits if edit.name == name)
        return self._score(name, "", mild, of_name[self.edit_of])

    def _score(self, name: str, strength: str, mild: bool, of_Q: NDArray[np.bool_]) -> EditScore:
        first = self.is_match[of_Q, 0]
        return EditScore(
            name,
            strength,
            mild,
            copies=int(of_Q.sum()),
            recall=float(self._found(self.threshold)[of_Q].mean()),
            micro_ap=self._micro_ap(of_Q),
            accuracy_at_1=float(first.mean()),
        )

    def _found(self, threshold: float) -> NDArray[np.bool_]:
        found = self.is_match & (self.scores >= threshold)
        return np.asarray(found.any(axis=1), dtype=bool)

    def _micro_ap(self, of_Q: NDArray[np.bool_]) -> float:
        return metrics.micro_average_precision(*self._pool(of_Q))

    def _pool(self, of_Q: NDArray[np.bool_] | slice) -> tuple[Floats, NDArray[np.bool_], int]:
        scores, is_match = self.scores[of_Q], self.is_match[of_Q]
        real = np.isfinite(scores)
        return scores[real], is_match[real], len(scores)
