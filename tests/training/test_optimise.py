"""One step of LARS by hand, and the shape of the schedule."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from sscd_cli.training.optimise import LARS, learning_rate, make_optimiser


def test_lars_steps_equal_a_hand_computation_for_weights_and_biases() -> None:
    rng = np.random.default_rng(0)
    lr, momentum, decay, trust = 2.0, 0.9, 1e-2, 0.001
    for shape in ((4, 3), (5,)):
        weight = rng.normal(size=shape)
        parameter = nn.Parameter(torch.tensor(weight))
        optimiser = LARS([parameter], lr, momentum=momentum, weight_decay=decay, trust=trust)
        velocity = np.zeros(shape)
        for _ in range(3):
            gradient = rng.normal(size=shape)
            size, length = np.linalg.norm(weight), np.linalg.norm(gradient)
            local = trust * size / (length + decay * size + 1e-8)
            velocity = momentum * velocity + local * (gradient + decay * weight)
            weight = weight - lr * velocity
            parameter.grad = torch.tensor(gradient)
            optimiser.step()
        np.testing.assert_allclose(parameter.detach().numpy(), weight, rtol=1e-12)


def test_lars_moves_a_zero_tensor_by_its_gradient() -> None:
    parameter = nn.Parameter(torch.zeros(3))
    parameter.grad = torch.tensor([1.0, -2.0, 0.0])
    LARS([parameter], 0.5, weight_decay=1e-6).step()
    assert parameter.tolist() == [-0.5, 1.0, 0.0]


def test_lars_leaves_a_tensor_without_gradient_alone() -> None:
    parameter = nn.Parameter(torch.ones(3))
    LARS([parameter], 0.5).step()
    assert parameter.tolist() == [1.0, 1.0, 1.0]


def test_lars_goes_on_from_its_saved_state() -> None:
    def steps(optimiser: LARS, parameter: nn.Parameter, count: int) -> None:
        for number in range(count):
            parameter.grad = torch.full_like(parameter, float(number + 1))
            optimiser.step()

    whole = nn.Parameter(torch.ones(2, 2))
    first = LARS([whole], 1.0)
    steps(first, whole, 2)
    resumed = nn.Parameter(whole.detach().clone())
    second = LARS([resumed], 1.0)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    steps(first, whole, 2)
    steps(second, resumed, 2)
    assert torch.equal(whole, resumed)


def test_optimisers_go_by_name() -> None:
    network = nn.Linear(2, 2)
    kinds = {"lars": LARS, "sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}
    for name, kind in kinds.items():
        optimiser = make_optimiser(network, name, 0.1, 0.8, 1e-6)
        assert type(optimiser) is kind
        group = optimiser.param_groups[0]
        assert (group["lr"], group["weight_decay"]) == (0.1, 1e-6)
        assert name == "adamw" or group["momentum"] == 0.8
    with pytest.raises(KeyError):
        make_optimiser(network, "adam", 0.1, 0.9, 0)


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
