"""Sketches: rows turned at random, cut to a few dimensions and scaled to length 1 again.

The cosine of two sketches scatters about that of the rows by an amount that depends on the number
of dimensions and on chance, not on the data. So a cut that nearly all pairs at a threshold
reach is known beforehand, and a product of 64 dimensions tells strangers from copies.

Source: Fisher, "On the probable error of a coefficient of correlation", Metron 1, 1921: the inverse
hyperbolic tangent of a correlation of n numbers is normal, of variance 1 / (n - 3), or 1 / (n - 2)
about a mean that is known.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

LENGTHS = tuple(range(32, 257, 16))
MISSED = 1 / 7000  # of the pairs right at the threshold, at most; of more similar ones far fewer
_DEVIATIONS = 3.9  # below the mean: 1 in 20,000 of a normal distribution, a little more here


def random_axes(dimensions: int, count: int, seed: int) -> NDArray[np.float32]:
    """Return random directions, float32 (dimensions, count), the same in every run.

    Orthogonal as far as the dimensions suffice, which spreads them evenly.
    """
    rounds = -(-count // dimensions)
    gaussian = np.random.default_rng(seed).standard_normal((rounds, dimensions, dimensions))
    turns = np.concatenate(np.linalg.qr(gaussian).Q, axis=1)
    return np.ascontiguousarray(turns[:, :count], np.float32)


def sketch_cut(cosine: float, length: int, dimensions: int) -> float:
    """Return the cosine of sketches that all but 1 in 7,000 pairs of rows at `cosine` reach.

    Args: length: of a sketch, at least 16, of so many dimensions. cosine: of magnitude below 1.
    """
    spread = math.sqrt((1 - length / dimensions) / (length - 2))  # none is left in all dimensions
    return math.tanh(math.atanh(min(cosine, 1 - 1e-6)) - _DEVIATIONS * spread)
