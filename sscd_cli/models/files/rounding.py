"""Weights in 8 bits whose rounding errors cancel over what each layer sees.

To the nearest step each, their errors add up where inputs go together, as neighbouring pixels do.
So each weight in turn is rounded, and those after it make up for its error, as far as the
covariance of the inputs allows. Source: Frantar et al., "GPTQ", 2023, algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.floating]

MOST = 127  # of steps to either side of 0
# a filter of few weights answers to a plain picture in multiples of its scale, so that one of
# these many larger scales may be nearer to what it should answer
FEW, SCALES, WIDER = 64, 16, 0.015
DAMPING = 0.01  # of the mean variance, added to all of them (section 4 of the source)
TOGETHER = 128  # weights whose errors are handed on in one product (section 4, step 2)


@dataclass(frozen=True)
class Layer:
    """How a convolution moves over its maps; all its sides are alike."""

    side: int
    stride: int
    pad: int
    groups: int


@dataclass
class Seen:
    """What the filters of a layer saw: `count` patches, their sums (G, K) and products (G, K, K).

    G groups of filters see different channels; K is the number of weights of a filter.
    """

    count: int = 0
    sums: Reals = field(default_factory=lambda: np.zeros(()))
    products: Reals = field(default_factory=lambda: np.zeros(()))

    def add(self, patches_GNK: Reals) -> None:
        self.count += patches_GNK.shape[1]
        self.sums = self.sums + patches_GNK.sum(axis=1, dtype=np.float64)
        self.products = self.products + patches_GNK.mT @ patches_GNK

    @property
    def mean(self) -> Reals:
        return self.sums / self.count

    @property
    def covariance(self) -> Reals:
        mean = self.mean
        spread: Reals = self.products / self.count - mean[:, :, None] * mean[:, None, :]
        return spread


def patches(
    maps_BCHW: NDArray[np.float32], layer: Layer, most: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return what filters see at `most` random places of each of some maps, float32 (G, N, K)."""
    edge = (layer.pad, layer.pad)
    padded = np.pad(maps_BCHW, ((0, 0), (0, 0), edge, edge))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (layer.side,) * 2, axis=(2, 3))
    windows = windows[:, :, :: layer.stride, :: layer.stride]
    high, wide = windows.shape[2:4]
    places = rng.choice(high * wide, min(most, high * wide), replace=False)
    chosen = windows[:, :, places // wide, places % wide]  # (B, C, places, side, side)
    batch, channels = chosen.shape[:2]
    grouped = chosen.reshape(batch, layer.groups, channels // layer.groups, len(places), -1)
    return np.ascontiguousarray(
        grouped.transpose(1, 0, 3, 2, 4).reshape(layer.groups, batch * len(places), -1)
    )


def rounded(
    weights_RK: Reals, least_R: Reals, covariance_GKK: Reals
) -> tuple[NDArray[np.int8], Reals]:
    """Return R filters of K weights in steps, int8 (R, K), and the scales (R,) of these steps.

    Args: least_R: the least scales that hold the weights. covariance_GKK: of what the filters of
    each group see; those of a group stand one after the other.
    """
    groups, size = covariance_GKK.shape[:2]
    weights_GFK = weights_RK.reshape(groups, -1, size)
    wider = 1 + WIDER * np.arange(SCALES if size <= FEW else 1)
    scales_TGF = wider[:, None, None] * least_R.reshape(groups, -1)
    spread_GKK = _spreading(covariance_GKK)
    steps_TGFK = np.stack([_in_turn(weights_GFK, scales, spread_GKK) for scales in scales_TGF])
    wrong = weights_GFK - steps_TGFK * scales_TGF[..., None]
    best = np.argmin(((wrong @ covariance_GKK) * wrong).sum(axis=-1), axis=0)[None]
    steps = np.take_along_axis(steps_TGFK, best[..., None], axis=0)
    scales = np.take_along_axis(scales_TGF, best, axis=0)
    return steps.reshape(weights_RK.shape).astype(np.int8), scales.ravel()


def _spreading(covariance_GKK: Reals) -> Reals:
    """Return how the error of each weight is spread over those after it, upper triangular."""
    damping = DAMPING * covariance_GKK.diagonal(axis1=1, axis2=2).mean(axis=1)
    damping = np.maximum(damping, 1e-12)[:, None, None]  # some filters see nothing at all
    inverse = np.linalg.inv(covariance_GKK + damping * np.eye(covariance_GKK.shape[1]))
    return np.linalg.cholesky((inverse + inverse.mT) / 2).mT


def _in_turn(weights_GFK: Reals, scales_GF: Reals, spread_GKK: Reals) -> Reals:
    """Round weight after weight, and let those that follow make up for its error."""
    left = weights_GFK.astype(np.float64)
    steps = np.zeros_like(left)
    size = left.shape[2]
    for start in range(0, size, TOGETHER):
        end = min(start + TOGETHER, size)
        errors = np.zeros((*scales_GF.shape, end - start))
        for k in range(start, end):
            steps[..., k] = np.clip(np.rint(left[..., k] / scales_GF), -MOST, MOST)
            error = (left[..., k] - steps[..., k] * scales_GF) / spread_GKK[:, k, k, None]
            left[..., k:end] -= error[..., None] * spread_GKK[:, None, k, k:end]
            errors[..., k - start] = error
        left[..., end:] -= errors @ spread_GKK[:, start:end, end:]
    return steps
