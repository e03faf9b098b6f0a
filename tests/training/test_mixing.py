"""Mixed views: which originals they show, and how much of each."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sscd_cli.training import mixing
from sscd_cli.training.mixing import MIXERS, Mixer, inset, mix

IMAGES, SIDE = 8, 16


def flat_views() -> torch.Tensor:
    """View i is a plane of value 10·i, so that a mixed pixel says where it came from."""
    values = torch.arange(2 * IMAGES, dtype=torch.float32) * 10
    return values.view(-1, 1, 1, 1).expand(-1, 3, SIDE, SIDE).clone()


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixing, "PROBABILITY", 0.5)
    monkeypatch.setattr(mixing, "INSET_PROBABILITY", 0.5)


def test_parameters_are_those_of_the_reference() -> None:
    source = {"mixup": mix, "copies": inset}
    assert source == MIXERS
    assert (mixing.ALPHA, mixing.SWITCH) == (2.0, 0.5)


def test_a_twentieth_of_the_views_is_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert mixing.PROBABILITY == 0.05
    pixels = torch.zeros(2000, 3, 8, 8)
    _, content = mix(pixels, 1000, np.random.default_rng(0))
    assert 0.03 < float((content.max(dim=1).values < 1).float().mean()) < 0.07


@pytest.mark.parametrize("mixer", [mix, inset])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_shares_sum_to_one_over_the_own_and_the_mirrored_original(
    mixer: Mixer, dtype: torch.dtype
) -> None:
    pixels = flat_views().to(dtype)
    before = pixels.clone()
    mixed, content = mixer(pixels, IMAGES, np.random.default_rng(3))
    assert torch.equal(pixels, before), "the input changed"
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(content.sum(dim=1), torch.ones(2 * IMAGES))
    changed = (content.max(dim=1).values < 1).nonzero().flatten().tolist()
    assert 0 < len(changed) < 2 * IMAGES
    for row in range(2 * IMAGES):
        own, partner = row % IMAGES, (2 * IMAGES - 1 - row) % IMAGES
        shown = set(content[row].nonzero().flatten().tolist())
        assert shown == ({own, partner} if row in changed else {own})
        if row not in changed:
            assert torch.equal(mixed[row], before[row].float())


def test_shares_are_the_parts_of_the_pixels_in_mixup_and_cutmix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = flat_views()
    for switch in (0.0, 1.0):
        monkeypatch.setattr(mixing, "SWITCH", switch)
        mixed, content = mix(pixels, IMAGES, np.random.default_rng(1))
        for row in range(2 * IMAGES):
            share = content[row, row % IMAGES]
            own, partner = pixels[row, 0, 0, 0], pixels[2 * IMAGES - 1 - row, 0, 0, 0]
            mean = mixed[row].mean()
            torch.testing.assert_close(mean, share * own + (1 - share) * partner)
            values = set(mixed[row].unique().tolist())
            if switch:
                assert values <= {float(own), float(partner)}
            else:
                assert len(values) == 1


def test_an_inset_is_the_whole_view_small_upon_its_partner() -> None:
    pixels = flat_views()
    mixed, content = inset(pixels, IMAGES, np.random.default_rng(2))
    for row in range(2 * IMAGES):
        share = float(content[row, row % IMAGES])
        if share == 1:
            continue
        own = (mixed[row, 0] - pixels[row, 0, 0, 0]).abs() < 1e-3
        assert 0.35**2 <= share <= 0.75**2
        assert float(own.float().mean()) == pytest.approx(share, abs=0.08)
        rows, columns = own.any(1).sum(), own.any(0).sum()
        assert int(own.sum()) == int(rows * columns), "the inset is no rectangle"


def test_the_same_generator_mixes_the_same() -> None:
    first = mix(flat_views(), IMAGES, np.random.default_rng(9))
    second = mix(flat_views(), IMAGES, np.random.default_rng(9))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
