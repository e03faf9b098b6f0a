"""Optimisers and the learning-rate schedule of the reference."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import SGD, AdamW, Optimizer


def make_optimiser(
    network: nn.Module, name: str, lr: float, momentum: float, weight_decay: float
) -> Optimizer:
    """Return the optimiser called "sgd" or "adamw"."""
    if name == "sgd":
        return SGD(network.parameters(), lr, momentum=momentum, weight_decay=weight_decay)
    return AdamW(network.parameters(), lr, weight_decay=weight_decay)


def learning_rate(step: int, *, peak: float, warmup: int, total: int) -> float:
    """Rise linearly to `peak` over `warmup` steps, then fall to zero along half a cosine."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(total - warmup, 1)
    return peak * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
