"""Strangers expected at a threshold: as many as there are where the tail is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sscd_cli.evaluation.strangers import expected_pairs, images_among


def tail(pairs: int, scale: float) -> Any:
    """Return similarities of which one in ten lies above 0.2, and from there on exponentially."""
    rng = np.random.default_rng(0)
    excess = rng.exponential(scale, pairs // 10)
    rest = rng.uniform(-0.2, 0.2, pairs - len(excess))
    return np.concatenate([rest, 0.2 + excess]).astype(np.float32)


@pytest.mark.parametrize("scale", [0.03, 0.05])
def test_an_exponential_tail_is_told_from_what_lies_below_the_ceiling(scale: float) -> None:
    found = tail(1_000_000, scale)
    told = expected_pairs(found, len(found), 0.43, 0.55)
    assert told is not None
    assert 0.5 < told / (100_000 * np.exp(-0.35 / scale)) < 2


def test_copies_are_no_strangers() -> None:
    found = tail(1_000_000, 0.03)
    copies = np.random.default_rng(1).uniform(0.45, 1, 5_000).astype(np.float32)
    alone = expected_pairs(found, 1e6, 0.43, 0.55)
    beside = expected_pairs(np.concatenate([found, copies]), 1e6, 0.43, 0.55)
    assert beside == pytest.approx(alone, rel=0.05)


def test_it_grows_with_the_pairs_of_which_some_were_drawn() -> None:
    found = tail(100_000, 0.04)
    one, ten = (expected_pairs(found, pairs, 0.43, 0.55) for pairs in (1e5, 1e6))
    assert one is not None
    assert ten == pytest.approx(10 * one)


def test_few_pairs_tell_nothing() -> None:
    assert expected_pairs(tail(9_000, 0.03), 9_000, 0.43, 0.55) is None


def test_images_are_never_more_than_there_are() -> None:
    assert images_among(0.1, 1000) == pytest.approx(0.1, rel=0.01)
    assert images_among(20, 20) == pytest.approx(12.6, rel=0.01)
    assert images_among(1e9, 20) == 20
