"""Optimisers by name, and the shape of the schedule."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from sscd_cli.training.optimise import learning_rate, make_optimiser


def test_optimisers_go_by_name() -> None:
    network = nn.Linear(2, 2)
    kinds = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}
    for name, kind in kinds.items():
        optimiser = make_optimiser(network, name, 0.1, 0.8, 1e-6)
        assert type(optimiser) is kind
        group = optimiser.param_groups[0]
        assert (group["lr"], group["weight_decay"]) == (0.1, 1e-6)
        assert name == "adamw" or group["momentum"] == 0.8


def test_rate_rises_linearly_peaks_and_falls_along_half_a_cosine() -> None:
    rates = [learning_rate(step, peak=4.8, warmup=5, total=25) for step in range(25)]
    assert rates[:5] == pytest.approx([0.96, 1.92, 2.88, 3.84, 4.8])
    assert max(rates) == rates[4] == rates[5] == 4.8
    assert rates[15] == pytest.approx(2.4), "half-way through the cosine"
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[5:]))
    assert rates[24] == pytest.approx(2.4 * (1 + math.cos(math.pi * 19 / 20)))
    assert learning_rate(25, peak=4.8, warmup=5, total=25) == 0
    assert learning_rate(30, peak=4.8, warmup=5, total=25) == 0
    assert learning_rate(0, peak=4.8, warmup=0, total=25) == 4.8
