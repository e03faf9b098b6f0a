"""Views that show two originals, and are positives of both: mixup, CutMix, insets.

Source: SSCD paper, section 4.4; reference `sscd/transforms/mixup.py` (ContrastiveMixup over
Classy Vision's element-wise mixup with corrected CutMix areas).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Mixer = Callable[[Tensor, int, np.random.Generator], tuple[Tensor, Tensor]]
# changes a view in place, given its partner; returns which share of it still shows its own original
Draw = Callable[[Tensor, Tensor, np.random.Generator], float]
INSET_PROBABILITY = 0.15
PROBABILITY = 0.05
ALPHA = 2.0
SWITCH = 0.5


def mix(pixels_N3HW: Tensor, images: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mix a few views with the view at the mirrored place of the batch.

    Args:
        pixels_N3HW: both views of `images` originals, first all first views, values 0..255.
    Returns:
        Mixed pixels, float32, and the share of every original in every view, float32 (N, images).
    """
    return _combined(pixels_N3HW, images, rng, PROBABILITY, _mixed)


def _combined(
    pixels_N3HW: Tensor, images: int, rng: np.random.Generator, probability: float, draw: Draw
) -> tuple[Tensor, Tensor]:
    """Let `draw` put a view and its partner together, at random places of the batch."""
    own_N3HW = pixels_N3HW.float()
    partner_N3HW, result_N3HW = own_N3HW.flip(0), own_N3HW.clone()
    count = len(own_N3HW)
    share = torch.ones(count, 1, device=own_N3HW.device)
    for row in np.flatnonzero(rng.random(count) < probability):
        share[row] = draw(result_N3HW[row], partner_N3HW[row], rng)
    own = torch.eye(images, device=own_N3HW.device).repeat(count // images, 1)
    return result_N3HW, share * own + (1 - share) * own.flip(0)


def _mixed(view_3HW: Tensor, partner_3HW: Tensor, rng: np.random.Generator) -> float:
    weight = float(rng.beta(ALPHA, ALPHA))
    if rng.random() < SWITCH:
        return _cut(view_3HW, partner_3HW, weight, rng)
    view_3HW.mul_(weight).add_((1 - weight) * partner_3HW)
    return weight


def _cut(target_3HW: Tensor, source_3HW: Tensor, weight: float, rng: np.random.Generator) -> float:
    """Paste a box of about (1 - weight) of the area in place; return the share that stays."""
    height, width = target_3HW.shape[1:]
    side = math.sqrt(1 - weight)
    y, x = int(rng.integers(height)), int(rng.integers(width))
    half_h, half_w = int(height * side) // 2, int(width * side) // 2
    top, bottom = max(y - half_h, 0), min(y + half_h, height)
    left, right = max(x - half_w, 0), min(x + half_w, width)
    target_3HW[:, top:bottom, left:right] = source_3HW[:, top:bottom, left:right]
    return 1 - float((bottom - top) * (right - left)) / (height * width)


def inset(pixels_N3HW: Tensor, images: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Show a few views as a smaller picture upon the view at the mirrored place of the batch.

    Takes and returns what `mix` does. The inset has 35 to 75 % of the side, anywhere; a view that
    shows two originals is a positive of both. Not in the paper: picture-in-picture copies need it.
    """
    return _combined(pixels_N3HW, images, rng, INSET_PROBABILITY, _inset)


def _inset(view_3HW: Tensor, partner_3HW: Tensor, rng: np.random.Generator) -> float:
    height, width = view_3HW.shape[1:]
    side = rng.uniform(0.35, 0.75)
    h, w = round(height * side), round(width * side)
    small = F.interpolate(view_3HW[None], (h, w), mode="bilinear", antialias=True)[0]
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    view_3HW.copy_(partner_3HW)[:, top : top + h, left : left + w] = small
    return side * side


# what an augmentation set does to a batch of views after they are made
MIXERS: dict[str, Mixer] = {"mixup": mix, "copies": inset}
