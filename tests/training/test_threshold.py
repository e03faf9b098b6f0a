"""The threshold that a training run measures, and what becomes of a model without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Run, error_line, picture

from sscd_cli.training.threshold import LEAST_IMAGES, measured_threshold


def rows(count: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, 16)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_no_two_different_images_reach_the_measured_threshold() -> None:
    drawn = rows(200)
    similarity = (drawn @ drawn.T)[np.triu_indices(200, 1)]
    threshold = measured_threshold(drawn)
    assert threshold is not None
    assert similarity.max() < threshold <= similarity.max() + 0.001


def test_few_images_and_images_that_look_the_same_show_no_threshold() -> None:
    assert measured_threshold(rows(LEAST_IMAGES - 1)) is None
    alike = rows(LEAST_IMAGES)
    alike[1] = alike[0]
    assert measured_threshold(alike) is None


@pytest.fixture
def unmeasured_model(tmp_path: Path) -> Path:
    import torch

    from sscd_cli.models.files.safetensors_file import save_network
    from sscd_cli.models.network import Network

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Network("mini", 16)
    preprocessing = {"name": "tiny-32", "size": 32, "square": True, "resample": "bilinear"}
    path = tmp_path / "mine.safetensors"
    save_network(path, network, {"name": "mine", "preprocessing": preprocessing})
    return path


def test_a_model_without_a_measured_threshold_asks_for_one_before_the_work(
    sscd: Run, tmp_path: Path, unmeasured_model: Path
) -> None:
    for number in (1, 2):
        picture(tmp_path / "photos" / f"{number}.png", number)
    message = (
        "no threshold was measured for the model mine; name one with -t, or run sscd calibrate "
        "and use -t auto"
    )
    ran = sscd("dedup", "photos", "-m", unmeasured_model)
    assert (ran.status, error_line(ran)) == (2, message)
    assert not (tmp_path / "descriptors").exists()
    assert sscd("embed", "photos", "-m", unmeasured_model).status == 0
    for typed in (["dedup"], ["dedup", "--task", "1/1"], ["dedup", "--estimate"]):
        ran = sscd(*typed)
        assert (ran.status, error_line(ran)) == (2, message)
    both = [tmp_path / "photos" / "1.png", tmp_path / "photos" / "2.png"]
    assert error_line(sscd("pair", *both, "-m", unmeasured_model)) == message
    assert sscd("pair", *both, "-m", unmeasured_model, "-t", "0.9").status == 0
    assert sscd("dedup", "-t", "0.9999").status == 0
