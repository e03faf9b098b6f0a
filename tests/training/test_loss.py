"""The loss against the paper's equations, one pair at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sscd_cli.training.loss import LossParts, sscd_loss
from sscd_cli.training.mixing import inset, mix

IMAGES, DIMENSIONS = 6, 5


def pair_by_pair(
    views: Tensor, content: Tensor, temperature: float, weight: float, mean: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """InfoNCE over each view's positives, and minus the log distance to its nearest negative.

    Two views are positives of each other when they show a common original. The partition of a
    positive pair holds that pair and the view's negatives; the reference adds 1e-6 to it.
    """
    infonce = entropy = torch.zeros((), dtype=views.dtype)
    for i, view in enumerate(views):
        negatives, positives = [], []
        for j, other in enumerate(views):
            if bool((content[i] * content[j] > 0).any()):
                positives += [other] if j != i else []
            else:
                negatives.append(other)
        partition = sum(((view @ other) / temperature).exp() for other in negatives) + 1e-6
        terms = []
        for other in positives:
            own = ((view @ other) / temperature).exp()
            terms.append(-(own / (own + partition)).log())
        total = sum(terms, torch.zeros((), dtype=views.dtype))
        infonce = infonce + (total / len(terms) if mean else total) / len(views)
        distance = torch.stack([(view - other).norm() for other in negatives]).min()
        entropy = entropy - distance.log() / len(views)
    return infonce + weight * entropy, infonce, entropy


def both(content: Tensor, seed: int, **options: float | bool) -> tuple[LossParts, Tensor]:
    raw = numbers(len(content), seed).requires_grad_()
    views = F.normalize(raw, dim=1)
    match = content @ content.T > 0
    identity = torch.eye(len(views), dtype=torch.bool)
    parts = sscd_loss(views, views, match, identity, **options)  # type: ignore[arg-type]
    return parts, torch.autograd.grad(parts.total, raw)[0]


def numbers(rows: int, seed: int) -> Tensor:
    return torch.randn(rows, DIMENSIONS, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize(("temperature", "weight"), [(0.05, 30.0), (0.5, 10.0), (0.1, 0.0)])
def test_loss_and_gradient_equal_the_equations_pair_by_pair(
    temperature: float, weight: float
) -> None:
    content = torch.eye(IMAGES).repeat(2, 1)
    parts, gradient = both(content, 1, temperature=temperature, entropy_weight=weight)
    raw = numbers(2 * IMAGES, 1).requires_grad_()
    total, infonce, entropy = pair_by_pair(
        F.normalize(raw, dim=1), content, temperature, weight, mean=False
    )
    (expected,) = torch.autograd.grad(total, raw)
    for ours, theirs in (
        (parts.total, total),
        (parts.infonce, infonce),
        (parts.entropy, entropy),
        (gradient, expected),
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mixer", [mix, inset])
def test_views_of_two_originals_average_over_their_positives(mixer, monkeypatch) -> None:
    import numpy as np

    monkeypatch.setattr("sscd_cli.training.mixing.PROBABILITY", 0.3)
    monkeypatch.setattr("sscd_cli.training.mixing.INSET_PROBABILITY", 0.3)
    pixels = torch.zeros(2 * IMAGES, 3, 8, 8)
    _, content = mixer(pixels, IMAGES, np.random.default_rng(5))
    positives = (content @ content.T > 0).sum(dim=1) - 1
    assert positives.min() >= 1
    assert positives.max() > positives.min()
    parts, gradient = both(content, 2, entropy_weight=30.0, mean_over_positives=True)
    raw = numbers(2 * IMAGES, 2).requires_grad_()
    total, _, _ = pair_by_pair(F.normalize(raw, dim=1), content, 0.05, 30.0, mean=True)
    torch.testing.assert_close(parts.total, total, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradient, torch.autograd.grad(total, raw)[0], rtol=1e-9, atol=1e-9)


def test_reported_similarities_are_those_of_positives_and_nearest_negatives() -> None:
    views = F.normalize(numbers(2 * IMAGES, 3), dim=1)
    content = torch.eye(IMAGES).repeat(2, 1)
    parts, _ = both(content, 3)
    similarity = views @ views.T
    twins = torch.stack([similarity[i, i + IMAGES] for i in range(IMAGES)])
    nearest = [
        max(similarity[i, j] for j in range(2 * IMAGES) if j % IMAGES != i % IMAGES)
        for i in range(2 * IMAGES)
    ]
    torch.testing.assert_close(parts.positive, twins.mean())
    torch.testing.assert_close(parts.nearest_negative, torch.stack(nearest).mean())
    assert not parts.infonce.requires_grad
    assert not parts.positive.requires_grad


@pytest.mark.parametrize("spread", [0.0, 1e-8])
def test_coinciding_descriptors_give_a_finite_loss_and_gradient(spread: float) -> None:
    start = torch.ones(8, 16) + spread * torch.randn(8, 16)
    raw = start.requires_grad_()
    views = F.normalize(raw, dim=1)
    match = torch.eye(4, dtype=torch.bool).repeat(2, 2)
    parts = sscd_loss(views, views, match, torch.eye(8, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(parts.total, raw)
    assert parts.total.isfinite()
    assert gradient.isfinite().all()


def test_a_view_without_negatives_gives_a_finite_loss_and_gradient() -> None:
    raw = torch.randn(4, 16, generator=torch.Generator().manual_seed(0)).requires_grad_()
    views = F.normalize(raw, dim=1)
    match = torch.ones(4, 4, dtype=torch.bool)
    identity = torch.eye(4, dtype=torch.bool)
    parts = sscd_loss(views, views, match, identity, mean_over_positives=True)
    (gradient,) = torch.autograd.grad(parts.total, raw)
    assert parts.total.isfinite()
    assert gradient.isfinite().all()
