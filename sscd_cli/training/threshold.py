"""The threshold of a network that was just trained, from images that it never saw."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

LEAST_IMAGES = 50  # 1,225 pairs; fewer do not show how alike different images can be
_SAME = 0.999  # what is as similar as that is told apart by no threshold
_STEPS = 1000


def measured_threshold(descriptors_ND: npt.NDArray[np.float32]) -> float | None:
    """Return the lowest similarity, in thousandths, that no two of some images reach.

    Copies among them make it too high, never too low: what it calls a copy is one.
    Args: descriptors_ND: of different images, unit vectors.
    Returns: None where there are fewer than `LEAST_IMAGES`, or two can hardly be told apart.
    """
    images = len(descriptors_ND)
    if images < LEAST_IMAGES:
        return None
    similarity_NN = descriptors_ND @ descriptors_ND.T
    highest = float(similarity_NN[np.triu_indices(images, 1)].max())
    return None if highest >= _SAME else (math.floor(highest * _STEPS) + 1) / _STEPS
