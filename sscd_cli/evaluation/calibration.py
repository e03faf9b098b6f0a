"""The threshold that a wanted precision asks for, from similarities alone.

Precision is the share of copies among the pairs at or above a threshold. Copies are known from
copies made on purpose; look-alikes from the set's own pairs, of which `mixture` tells how many
are copies themselves.

Legend of shapes: P pairs, I images of which copies were made, E edits, T thresholds (the edges of
the bins in which similarities are counted), X = T - 1 bins, B replicates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray

from sscd_cli.evaluation.mixture import SHAPES_G, Mixture, fit

Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]

STEP = 0.005  # between two thresholds
REPLICATES = 400
CONFIDENCE = 0.95
RULE_OF_THREE = 3.0  # none seen: with 95 % confidence, fewer than three are expected

_LEAST_PAIRS, _MOST_PAIRS = 100, 1000  # above the floor, to begin with


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the interval in which it lies with 95 % confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Similarities:
    """What is known of a set of `images` images.

    similarity, left, right: (P,) the most similar of `pairs` pairs that were looked at, and
    between which images. copies: (I, E) similarity of each made copy to its original.
    weights: (E,) how often each edit is expected.
    """

    images: int
    pairs: int
    similarity: NDArray[np.float32]
    left: Indices
    right: Indices
    copies: NDArray[np.float32]
    weights: Doubles


@dataclass(frozen=True)
class Assumed:
    """What a set cannot tell: how many images will be compared, and copies of an image.

    None stands for as many as in the set. The copies are then estimated: at least one.
    """

    images: int | None = None
    copies_per_image: float | None = None


@dataclass(frozen=True, eq=False)
class Curve:
    """What to expect at each threshold, (T,); precision and recall with their intervals, (3, T).

    look_alikes: wrong pairs, copies: right ones. The intervals are those of what another set,
    drawn in the same way, would show: the luck of both draws is in them. None of precision begins
    above what three look-alikes would leave of it, however few the fitted tail expects: a set
    that shows none does not rule them out.
    """

    threshold: Doubles
    precision: Doubles
    recall: Doubles
    look_alikes: Doubles
    copies: Doubles

    def at(self, place: int) -> tuple[Interval, Interval]:
        """Return precision and recall at one threshold, by its number."""
        precision, recall = self.precision[:, place].tolist(), self.recall[:, place].tolist()
        return Interval(*precision), Interval(*recall)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Where on the curve the wanted precision begins.

    place: the number of the lowest threshold at which it is expected, None where there is none.
    promised: of the lowest at which the whole interval is as precise; None in a set of fewer than
    `enough_images`.
    copies_per_image: pairs of copies for an image; without width where it was given.
    """

    wanted: float
    images: int
    copies_per_image: Interval
    curve: Curve

    @cached_property
    def place(self) -> int | None:
        return _first(self.curve.precision[0] >= self.wanted)

    @cached_property
    def promised(self) -> int | None:
        return _first(self.curve.precision[1] >= self.wanted)

    @property
    def enough_images(self) -> int | None:
        """How many images like these bear out the precision at the threshold, whatever the tail.

        By the rule of three: not one look-alike seen where copies would outweigh three.
        """
        if self.place is None:
            return None
        copies_of_one = self.curve.copies[self.place] / self.images
        needed = RULE_OF_THREE * self.wanted / (1 - self.wanted)
        return ceil(needed / copies_of_one) if copies_of_one > 0 else None


def calibrate(
    known: Similarities, wanted: float, assumed: Assumed = Assumed(), *, seed: int = 0
) -> Calibration:
    """Find what precision and recall to expect, at thresholds from where copies are rare.

    Look-alikes grow with the square of the images compared, copies in proportion to them.
    Intervals are from replicates that draw images, not pairs, with replacement, and a shape of
    the tail by its likelihood; they include the doubt about an estimated number of copies.
    The pairs fitted are a quarter as many as the images (100 to 1,000): more would tell of
    ordinary pairs, not of the tail. They grow while most of them are copies, or while `wanted`
    holds for all of them.

    Args: wanted: precision in (0, 1). seed: of the replicates.
    Raises: ValueError: fewer than two pairs, no copies, or no weights.
    """
    if len(known.similarity) < 2 or not known.copies.size or not known.weights.sum() > 0:
        raise ValueError("calibration needs pairs, copies and weights")
    order = np.argsort(-known.similarity, kind="stable")
    kept = min(max(_LEAST_PAIRS, known.images // 4), _MOST_PAIRS)
    while True:
        fitted = _fit(known, order[:kept], np.random.default_rng(seed))
        found = _expect(fitted, known, wanted, assumed)
        if kept >= len(order) or (fitted.copies_share < 0.5 and found.place != 0):
            return found
        kept *= 2


@dataclass(frozen=True, eq=False)
class _Fitted:
    """The set as it is (row 0) and its replicates: recall, and copies and look-alikes found.

    edges: (T,). recall, look_alikes: (B, T). copies: (B,), of all similarities. look_alikes and
    copies are among the pairs looked at; copies_share is that of those above the floor.
    """

    edges: Doubles
    recall: Doubles
    look_alikes: Doubles
    copies: Doubles
    copies_share: float
    rng: np.random.Generator


def _fit(known: Similarities, pairs_K: Indices, rng: np.random.Generator) -> _Fitted:
    """Fit the mixture to some pairs, the most similar ones, and to replicates of them."""
    similarity_K = known.similarity[pairs_K].astype(np.float64)
    edges_T = _edges(similarity_K)
    ends = np.concatenate([known.left[pairs_K], known.right[pairs_K]])
    images, numbers = np.unique(ends, return_inverse=True)
    left, right = np.split(numbers, 2)
    # A pair counts as often as both its images: with each drawn 0, 1 or 2 times, unconnected pairs
    # vary as independent ones do; drawn as by an ordinary bootstrap they would vary threefold.
    drawn = rng.binomial(2, 0.5, (1 + REPLICATES, len(images))).astype(np.float64)
    drawn[0] = 1.0
    bins_K = np.searchsorted(edges_T, similarity_K, "right") - 1
    counts_BX = np.stack(
        [np.bincount(bins_K, row[left] * row[right], minlength=len(edges_T) - 1) for row in drawn]
    ).astype(np.float64)
    recall_BT = _recall(known, edges_T, rng)
    mixture = fit(counts_BX, -np.diff(recall_BT), edges_T)
    copies_B, look_alikes_BT = _choose_shapes(mixture, rng)
    return _Fitted(
        edges=edges_T,
        recall=recall_BT,
        look_alikes=look_alikes_BT,
        copies=copies_B / np.maximum(recall_BT[:, 0], 1e-9),
        copies_share=float(copies_B[0] / len(pairs_K)),
        rng=rng,
    )


def _edges(similarity_K: Doubles) -> Doubles:
    """Return thresholds on round numbers from below all similarities to above them and 1."""
    low = np.floor(similarity_K.min() / STEP)
    high = np.floor(max(1.0, similarity_K.max()) / STEP + 1e-6) + 1
    edges: Doubles = np.round(np.arange(low, high + 1) * STEP, 6)
    return edges


def _recall(known: Similarities, edges_T: Doubles, rng: np.random.Generator) -> Doubles:
    """Return the weighted share of made copies at or above each edge, (B, T)."""
    images = len(known.copies)
    drawn_BI = rng.multinomial(images, np.full(images, 1 / images), 1 + REPLICATES)
    drawn_BI[0] = 1
    found_IT = (
        np.stack([(known.copies >= edge) @ known.weights for edge in edges_T], axis=1)
        / known.weights.sum()
    )
    recall: Doubles = drawn_BI @ found_IT / images
    return recall


def _choose_shapes(mixture: Mixture, rng: np.random.Generator) -> tuple[Doubles, Doubles]:
    """Return copies (B,) and look-alikes (B, T): of row 0 the mean over shapes, else of one."""
    upto = mixture.likelihood.cumsum(axis=1)
    shape = (rng.random((len(upto), 1)) > upto).sum(axis=1).clip(max=len(SHAPES_G) - 1)
    rows = np.arange(len(shape))
    copies, look_alikes = mixture.copies[rows, shape], mixture.look_alikes[rows, shape]
    copies[0] = mixture.likelihood[0] @ mixture.copies[0]
    look_alikes[0] = mixture.likelihood[0] @ mixture.look_alikes[0]
    return copies, look_alikes


def _expect(fitted: _Fitted, known: Similarities, wanted: float, assumed: Assumed) -> Calibration:
    """Carry over what was fitted to the comparison that is asked for."""
    images = assumed.images or known.images
    per_image_B = fitted.copies * (known.images - 1) / (2 * known.pairs)
    per_image_B = np.maximum(per_image_B, 1 / known.images)
    if assumed.copies_per_image is not None:
        per_image_B = np.full_like(per_image_B, assumed.copies_per_image)
    times = images * (images - 1) / 2 / known.pairs
    look_alikes_BT = fitted.look_alikes * times
    copies_BT = images * per_image_B[:, None] * fitted.recall
    precision = _precision(copies_BT, look_alikes_BT, fitted.rng)
    # three among the pairs looked at; and another set has its own luck, so never fewer than three
    unseen = RULE_OF_THREE * max(times, 1.0)
    precision[1] = np.minimum(precision[1], copies_BT[0] / (copies_BT[0] + unseen))
    curve = Curve(
        threshold=fitted.edges,
        precision=precision,
        recall=_with_interval(fitted.recall[0], _of_another_sample(fitted.recall)),
        look_alikes=look_alikes_BT[0],
        copies=copies_BT[0],
    )
    per_image = _with_interval(per_image_B[0], per_image_B[1:])
    return Calibration(wanted, images, Interval(*per_image.tolist()), curve)


def _of_another_sample(figure_BT: Doubles) -> Doubles:
    """Return what samples as large as ours would show, where ours is off as the replicates are."""
    replicates_BT = figure_BT[1:]
    another: Doubles = np.clip(replicates_BT + replicates_BT[::-1] - figure_BT[0], 0, 1)
    return another


def _precision(copies_BT: Doubles, look_alikes_BT: Doubles, rng: np.random.Generator) -> Doubles:
    """Return the expected precision and the interval of what another set would show, (3, T).

    A set in which nothing is found shows no precision; where none shows any, all is possible.
    """
    expected_T = copies_BT[0] / np.maximum(copies_BT[0] + look_alikes_BT[0], 1e-300)
    right, wrong = (_draw_set(expected[1:], rng) for expected in (copies_BT, look_alikes_BT))
    found = right + wrong
    drawn = np.divide(right, found, out=np.full(found.shape, np.nan), where=found > 0)
    drawn[:2, ~(found > 0).any(axis=0)] = [[0.0], [1.0]]
    return _with_interval(expected_T, drawn)


def _draw_set(expected_BT: Doubles, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return how many pairs one set has at or above each threshold, where so many are expected."""
    between = np.maximum(-np.diff(expected_BT, append=0.0, axis=1), 0.0)
    above: NDArray[np.int64] = rng.poisson(between)[:, ::-1].cumsum(axis=1)[:, ::-1]
    return above


def _with_interval(value: NDArray[np.float64], replicates_B: Doubles) -> Doubles:
    """Return the value and the quantiles of its replicates, stacked."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(replicates_B, (tail, 1 - tail), axis=0)
    return np.stack([value, np.minimum(low, value), np.maximum(high, value)])


def _first(true_T: NDArray[np.bool_]) -> int | None:
    places = np.flatnonzero(true_T)
    return int(places[0]) if places.size else None
