"""Optimisers and the learning-rate schedule of the reference."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer


class LARS(Optimizer):
    """SGD with momentum whose step is scaled, tensor by tensor, to the size of the weights.

    Biases and batch-norm tensors are scaled and decayed like all others; a tensor that is zero, or
    has no gradient, takes a plain step.
    Source: You et al., "Large Batch Training of Convolutional Networks" (2017), with the trust
    coefficient 0.001 and without the exclusions, both as in the reference's `train.py`.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)

    def _update(self, weight: torch.Tensor, group: dict[str, Any]) -> None:
        gradient = weight.grad
        assert gradient is not None
        size, length = weight.norm(), gradient.norm()
        scale = group["trust"] * size / (length + group["weight_decay"] * size + 1e-8)
        plain = (size == 0) | (length == 0)
        step = (gradient + group["weight_decay"] * weight) * torch.where(plain, 1.0, scale)
        state = self.state[weight]
        velocity = state.setdefault("velocity", torch.zeros_like(weight))
        velocity.mul_(group["momentum"]).add_(step)
        weight.sub_(velocity, alpha=group["lr"])


def make_optimiser(
    network: nn.Module, name: str, lr: float, momentum: float, weight_decay: float
) -> Optimizer:
    """Return the optimiser called "lars", "sgd" or "adamw". Raises KeyError for another name."""
    if name == "lars":
        return LARS(network.parameters(), lr, momentum=momentum, weight_decay=weight_decay)
    if name == "sgd":
        return SGD(network.parameters(), lr, momentum=momentum, weight_decay=weight_decay)
    if name == "adamw":
        return AdamW(network.parameters(), lr, weight_decay=weight_decay)
    raise KeyError(name)


def learning_rate(step: int, *, peak: float, warmup: int, total: int) -> float:
    """Rise linearly to `peak` over `warmup` steps, then fall to zero along half a cosine."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(total - warmup, 1)
    return peak * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
