"""How many pairs of different pictures are expected at a threshold, from what lies below it.

Above a high floor the similarities of strangers thin out exponentially, or nearly so. The rate is
fitted below a ceiling, where hardly any pair is a copy, and prolonged to the threshold.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEWEST_PAIRS = 10_000  # a hundred images on either side
_SHARE, _MOST = 50, 1000  # one pair of so many, and so many at most, make the tail
_WIDTH = 0.05  # of the tail, at least: a narrower one tells no rate
_RATES = np.geomspace(3, 300, 400)


def expected_pairs(
    similarity_S: NDArray[np.float32], pairs: float, ceiling: float, threshold: float
) -> float | None:
    """Return how many of `pairs` pairs of strangers are at or above a threshold.

    Args: similarity_S: of pairs drawn at random, copies among them or not. ceiling: below the
        threshold; from there on a pair may be a copy.
    Returns: None where fewer than `FEWEST_PAIRS` lie below the ceiling.
    Source: excesses over a high floor are generalised Pareto (Pickands 1975); here of shape 0.
    """
    below = similarity_S[similarity_S < ceiling]
    if len(below) < FEWEST_PAIRS:
        return None
    count = min(len(below) // _SHARE, _MOST)
    floor = min(float(np.partition(below, -count)[-count]), ceiling - _WIDTH)
    excess = below[below >= floor].astype(np.float64) - floor
    width = ceiling - floor
    # the likeliest rate of excesses that are cut off at the width
    inside = -np.expm1(-_RATES * width)
    rate = _RATES[np.argmax(np.log(_RATES / inside) - _RATES * excess.mean())]
    of_tail = len(excess) / -np.expm1(-rate * width) * np.exp(-rate * (threshold - floor))
    return float(of_tail / len(similarity_S) * pairs)


def images_among(pairs: float, images: int) -> float:
    """Return how many of some images are in so many pairs, each by its own luck."""
    return float(images * -np.expm1(-pairs / images))
