"""Weights in 8 bits: each error is made up for by the weights after it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sscd_cli.models.files.rounding import FEW, MOST, Layer, Seen, patches, rounded

Reals = NDArray[np.float64]


def _filters(groups: int, filters: int, size: int) -> tuple[Reals, Reals, Reals]:
    """Weights of some filters, their least scales, and the covariance of what they see."""
    rng = np.random.default_rng(size)
    weights = rng.normal(size=(groups * filters, size))
    seen = rng.normal(size=(groups, 4 * size, size)) + 3 * rng.normal(size=(groups, 4 * size, 1))
    covariance = np.stack([np.cov(each, rowvar=False) for each in seen])
    return weights, np.abs(weights).max(axis=1) / MOST, covariance


def _error(lost: Reals, covariance: Reals) -> float:
    """The mean squared error of what filters answer, over what they see."""
    grouped = lost.reshape(len(covariance), -1, lost.shape[1])
    return float(((grouped @ covariance) * grouped).sum())


def _in_turn(weights: Reals, scale: float, covariance: Reals) -> list[int]:
    """The oracle: after each weight those that follow are solved for anew, by least squares."""
    size = len(weights)
    damped = covariance + 0.01 * covariance.diagonal().mean() * np.eye(size)
    left, steps = weights.copy(), []
    for k in range(size):
        steps.append(int(np.clip(np.rint(left[k] / scale), -MOST, MOST)))
        wrong = scale * np.array(steps) - weights[: k + 1]
        rest = slice(k + 1, size)
        if k + 1 < size:
            left[rest] = weights[rest] - np.linalg.solve(
                damped[rest, rest], damped[rest, : k + 1] @ wrong
            )
    return steps


def test_each_weight_makes_up_for_those_before_it_as_least_squares_would() -> None:
    weights, least, covariance = _filters(1, 3, 150)  # more than are rounded together
    steps, scales = rounded(weights, least, covariance)
    np.testing.assert_allclose(scales, least)
    for row, scale, found in zip(weights, scales, steps, strict=True):
        assert found.tolist() == _in_turn(row, scale, covariance[0])


@pytest.mark.parametrize(("groups", "filters", "size"), [(1, 8, 200), (1, 16, 27), (12, 1, 9)])
def test_what_filters_answer_is_nearer_than_with_weights_rounded_to_the_nearest_step(
    groups: int, filters: int, size: int
) -> None:
    weights, least, covariance = _filters(groups, filters, size)
    steps, scales = rounded(weights, least, covariance)
    nearest = np.rint(weights / least[:, None])
    ours = _error(weights - steps * scales[:, None], covariance)
    assert ours < 0.4 * _error(weights - nearest * least[:, None], covariance)
    assert np.abs(steps).max() <= MOST
    assert (scales >= least).all()


def test_inputs_that_have_nothing_in_common_leave_every_weight_at_its_nearest_step() -> None:
    weights, least, _ = _filters(1, 5, FEW + 1)
    steps, _ = rounded(weights, least, np.eye(FEW + 1)[None])
    np.testing.assert_array_equal(steps, np.rint(weights / least[:, None]))


def test_a_filter_that_never_sees_anything_is_rounded_all_the_same() -> None:
    weights, least, covariance = _filters(2, 1, 9)
    covariance[1] = 0
    steps, scales = rounded(weights, least, covariance)
    np.testing.assert_allclose(steps[1] * scales[1], weights[1], atol=scales[1] / 2 + 1e-9)


@pytest.mark.parametrize("layer", [Layer(3, 2, 1, 1), Layer(5, 1, 2, 4), Layer(1, 1, 0, 2)])
def test_patches_are_what_a_convolution_multiplies(layer: Layer) -> None:
    maps = np.random.default_rng(0).normal(size=(2, 4, 8, 8)).astype(np.float32)
    seen = patches(maps, layer, 1000, np.random.default_rng(1))
    size = 4 // layer.groups * layer.side**2
    weights = np.random.default_rng(2).normal(size=(layer.groups, size)).astype(np.float32)
    answers = torch.nn.functional.conv2d(
        torch.from_numpy(maps),
        torch.from_numpy(weights.reshape(layer.groups, -1, layer.side, layer.side)),
        stride=layer.stride,
        padding=layer.pad,
        groups=layer.groups,
    )
    for group in range(layer.groups):  # every place of a map, in an order of its own
        np.testing.assert_allclose(
            np.sort(seen[group] @ weights[group]),
            np.sort(answers[:, group].flatten().numpy()),
            atol=1e-5,
        )


def test_mean_and_covariance_are_those_of_all_that_was_seen() -> None:
    rows = np.random.default_rng(0).normal(2, 1, size=(3, 50, 4))
    seen = Seen()
    for part in np.split(rows, 5, axis=1):
        seen.add(part)
    np.testing.assert_allclose(seen.mean, rows.mean(axis=1))
    expected = np.stack([np.cov(each, rowvar=False, bias=True) for each in rows])
    np.testing.assert_allclose(seen.covariance, expected)
