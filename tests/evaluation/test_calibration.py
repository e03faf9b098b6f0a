"""The threshold of a wanted precision, against worlds whose precision is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sscd_cli.evaluation.calibration import Assumed, Calibration, Similarities, calibrate
from sscd_cli.evaluation.mixture import fit

Floats = NDArray[np.float64]
FLOOR, SCALE = 0.3, 0.045


class World:
    """Pairs of images: look-alikes fall off exponentially, and copies are spread evenly."""

    def __init__(self, seed: int, images: int = 400, copies: int = 40) -> None:
        self.rng, self.images, self.copies = np.random.default_rng(seed), images, copies
        self.tail = images * (images - 1) / 2 * 0.01

    def look_alikes(self, threshold: float) -> float:
        return float(self.tail * np.exp(-(threshold - FLOOR) / SCALE))

    def recall(self, threshold: float) -> float:
        return float(np.clip((1 - threshold) / 0.6, 0, 1))

    def precision(self, threshold: float) -> float:
        right = self.copies * self.recall(threshold)
        return right / (right + self.look_alikes(threshold))

    def draw_copies(self, *shape: int) -> Floats:
        return 1 - 0.6 * self.rng.random(shape)

    def known(self) -> Similarities:
        others = FLOOR + self.rng.exponential(SCALE, self.rng.poisson(self.tail))
        similarity = np.concatenate([others, self.draw_copies(self.copies)])
        left = self.rng.integers(0, self.images - 1, similarity.size)
        return Similarities(
            images=self.images,
            pairs=self.images * (self.images - 1) // 2,
            similarity=similarity.astype(np.float32),
            left=left,
            right=self.rng.integers(left + 1, self.images),
            copies=self.draw_copies(60, 20).astype(np.float32),
            weights=np.ones(20),
        )


def threshold_of(found: Calibration) -> float:
    assert found.place is not None
    return float(found.curve.threshold[found.place])


def test_copies_among_unlabelled_pairs_are_told_from_look_alikes() -> None:
    rng = np.random.default_rng(0)
    edges = np.arange(0.3, 1.001, 0.01)
    copies = 1 - 0.6 * rng.random(20_000)
    mixed = np.concatenate([0.3 + rng.exponential(0.05, 900), 1 - 0.6 * rng.random(100)])
    counts, like = np.histogram(mixed, edges)[0], np.histogram(copies, edges)[0]
    found = fit(counts[None].astype(float), like[None].astype(float), edges)
    assert found.copies[0, 0] == pytest.approx(100, abs=20)
    at_half = found.look_alikes[0, 0, 20]
    assert at_half == pytest.approx(900 * np.exp(-0.2 / 0.05), rel=0.4)
    assert found.likelihood[0].sum() == pytest.approx(1)
    assert found.likelihood[0, 0] > found.likelihood[0, -1]


def test_what_is_promised_is_kept_in_most_worlds() -> None:
    kept = []
    for seed in range(12):
        world, wanted = World(seed), 0.8 + 0.012 * seed
        found = calibrate(world.known(), wanted)
        assert found.place is not None
        precision, recall = found.curve.at(found.place)
        threshold = threshold_of(found)
        kept.append(precision.low <= world.precision(threshold) <= precision.high)
        kept.append(recall.low <= world.recall(threshold) <= recall.high)
        assert precision.value >= wanted
    assert sum(kept) >= 22  # of 24


def test_copies_inside_the_set_do_not_raise_the_threshold() -> None:
    clean, dirty = World(1, copies=0).known(), World(1, copies=60).known()
    assumed = Assumed(copies_per_image=0.1)
    thresholds = [threshold_of(calibrate(known, 0.95, assumed)) for known in (clean, dirty)]
    assert thresholds[1] == pytest.approx(thresholds[0], abs=0.05)


def test_the_number_of_copies_is_estimated_and_at_least_one() -> None:
    many = calibrate(World(2, copies=60).known(), 0.9).copies_per_image
    assert many.low <= 60 / 400 <= many.high
    none = calibrate(World(2, copies=0).known(), 0.9).copies_per_image
    assert none.value < 0.02
    assert none.low >= 1 / 400


def test_more_images_or_fewer_copies_ask_for_a_higher_threshold() -> None:
    known = World(3).known()
    plain = threshold_of(calibrate(known, 0.9, Assumed(copies_per_image=0.1)))
    assert threshold_of(calibrate(known, 0.9, Assumed(800, 0.1))) > plain
    assert threshold_of(calibrate(known, 0.9, Assumed(copies_per_image=0.05))) > plain
    assert threshold_of(calibrate(known, 0.97, Assumed(copies_per_image=0.1))) > plain


def test_a_precision_that_ordinary_pairs_have_is_found_below_the_tail() -> None:
    found = calibrate(World(4).known(), 0.05)
    assert threshold_of(found) < 0.4


def test_edits_that_weigh_nothing_do_not_count() -> None:
    known = World(5).known()
    known.copies[:, 10:] = 0.0
    known.weights[10:] = 0.0
    precise = calibrate(known, 0.9)
    assert precise.curve.recall[0, 0] == pytest.approx(1.0, abs=0.05)


def test_a_small_set_promises_nothing_and_names_a_size_that_could() -> None:
    found = calibrate(World(6).known(), 0.99, Assumed(copies_per_image=0.1))
    assert found.place is not None
    assert found.promised is None or found.promised > found.place
    # three look-alikes must not weigh more than one in a hundred of the copies found
    copies = 0.1 * found.curve.recall[0, found.place]
    assert found.enough_images == pytest.approx(3 * 99 / copies, abs=1)


def test_look_alikes_that_are_not_seen_are_not_ruled_out() -> None:
    for images in (None, 200):
        found = calibrate(World(9, copies=4).known(), 0.9, Assumed(images, 0.02))
        low, copies = found.curve.precision[1], found.curve.copies
        assert (low <= copies / (copies + 3)).all()
        assert found.enough_images is not None
        assert found.enough_images > 400
        assert found.promised is None
    enough = calibrate(World(9).known(), 0.5, Assumed(copies_per_image=2))
    assert enough.enough_images is not None
    assert enough.enough_images < 400
    assert enough.promised is not None


def test_the_same_seed_gives_the_same_figures() -> None:
    one, other = (calibrate(World(7).known(), 0.9, seed=3) for _ in range(2))
    assert np.array_equal(one.curve.precision, other.curve.precision)


def test_calibration_needs_something_to_go_by() -> None:
    known = World(8).known()
    known.weights[:] = 0
    with pytest.raises(ValueError, match="weights"):
        calibrate(known, 0.9)
