"""Copies and look-alikes among similarities that nobody has labelled.

Pairs above a floor are a mixture: copies, whose similarities are distributed like those of
copies made on purpose, and look-alikes, whose number falls off like a generalised Pareto tail.
Expectation maximisation finds the proportion and the scale that fit best, for several shapes of
the tail, so that copies inside a set do not pass for look-alikes.

Legend of shapes: B data sets fitted at once, T edges of bins, X = T - 1 bins, G shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

# From exponential to as heavy as the tails of uniform collections (receipts, one kind of shoe)
SHAPES_G = np.array([1e-6, 0.05, 0.1, 0.15])

_UNLIKE_ANY = 0.05  # share of the set's copies that are like no copy that was made
_LEAST = 1e-12


@dataclass(frozen=True, eq=False)
class Mixture:
    """What fits best: copies, (B, G), above the floor, look_alikes, (B, G, T), at or above each
    edge, and likelihood, (B, G), of each shape, adding to 1 over the shapes.
    """

    copies: Doubles
    look_alikes: Doubles
    likelihood: Doubles


def fit(counts_BX: Doubles, copies_BX: Doubles, edges_T: Doubles) -> Mixture:
    """Split the pairs counted in bins into copies and look-alikes.

    Args: counts_BX: pairs in each bin, fractions allowed; the first row is the set itself and the
        others are like it, since what fits the first is where the search in the others starts.
        copies_BX: made copies in each bin, in any unit. edges_T: of the bins, rising evenly from
        the floor.
    Source: expectation maximisation (Dempster, Laird, Rubin 1977) for the mixture; excesses over
        a high floor are generalised Pareto (Pickands 1975).
    """
    counts, like_copies = counts_BX[:, None, :], _smooth(copies_BX)[:, None, :]
    share = np.full((1, SHAPES_G.size, 1), 0.1)
    scale = np.full_like(share, (edges_T[-1] - edges_T[0]) / 10)
    for rows, iterations in ((slice(1), 100), (slice(None), 20)):
        for _ in range(iterations):
            of_tail, _ = _expected(counts[rows], like_copies[rows], edges_T, share, scale)
            share, scale = _best(counts[rows], of_tail, edges_T, scale)
    _, density = _expected(counts, like_copies, edges_T, share, scale)
    log_likelihood = (counts * np.log(density)).sum(axis=-1)
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=-1, keepdims=True))
    total = counts.sum(axis=-1, keepdims=True)
    return Mixture(
        copies=(share * total)[..., 0],
        look_alikes=(1 - share) * total * _survival(edges_T, scale),
        likelihood=likelihood / likelihood.sum(axis=-1, keepdims=True),
    )


def _expected(
    counts: Doubles, like_copies: Doubles, edges_T: Doubles, share: Doubles, scale: Doubles
) -> tuple[Doubles, Doubles]:
    """Return how many pairs of each bin are look-alikes, and the bin's share of all pairs."""
    rest = (1 - share) * -np.diff(_survival(edges_T, scale), axis=-1)
    density: Doubles = np.maximum(share * like_copies + rest, _LEAST)
    return counts * rest / density, density


def _best(
    counts: Doubles, of_tail: Doubles, edges_T: Doubles, scale: Doubles
) -> tuple[Doubles, Doubles]:
    """Return the share of copies and the tail's scale that make the split likeliest."""
    excess_X, shape = (edges_T[:-1] + edges_T[1:]) / 2 - edges_T[0], SHAPES_G[:, None]
    number = np.maximum(of_tail.sum(axis=-1, keepdims=True), _LEAST)
    share = 1 - number / np.maximum(counts.sum(axis=-1, keepdims=True), _LEAST)
    # where the derivative of the tail's likelihood by its scale is zero
    weighed = of_tail * excess_X / (1 + shape * excess_X / scale)
    scale = (1 + shape) * weighed.sum(axis=-1, keepdims=True) / number
    return np.maximum(share, 0.0), np.maximum(scale, 1e-4)


def _survival(edges_T: Doubles, scale: Doubles) -> Doubles:
    """Return the share of look-alikes at or above each edge; 1 at the floor."""
    shape = SHAPES_G[:, None]
    stretched = np.log1p(shape * (edges_T - edges_T[0]) / scale)
    survival: Doubles = np.exp(-stretched / shape)
    return survival


def _smooth(copies_BX: Doubles) -> Doubles:
    """Return the share of copies in each bin; every bin gets a little."""
    total = np.maximum(copies_BX.sum(axis=-1, keepdims=True), _LEAST)
    shares: Doubles = (1 - _UNLIKE_ANY) * copies_BX / total + _UNLIKE_ANY / copies_BX.shape[-1]
    return shares
