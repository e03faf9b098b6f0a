"""An exported file gives the model's descriptors, read by us and without us."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from weight_layouts import RGB_STATS, probe

from sscd_cli.errors import ModelError, UsageError
from sscd_cli.models import export
from sscd_cli.models.network import Network
from sscd_cli.models.registry import find_model
from sscd_cli.models.safetensors_file import load_network, save_network
from sscd_cli.models.weights import inspect_weights, read_network

STORY = {"name": "tiny", "preprocessing": {"name": "mini-160", "size": 160, "square": True}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(4)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_network(path, Network("mini", 8), STORY)
    return path


@pytest.mark.parametrize("format", export.WRITERS)
def test_an_exported_file_gives_the_same_descriptors(
    model: Path, tmp_path: Path, format: str
) -> None:
    path = tmp_path / "out.bin"
    assert export.export_model(str(model), path, format) <= export.TOLERANCE
    with torch.inference_mode():
        expected, found = (read_network(inspect_weights(p))(probe()) for p in (model, path))
    assert torch.equal(expected, found)
    assert [p.name for p in tmp_path.iterdir()] == ["out.bin"]


def test_a_trace_takes_normalised_pixels_as_the_official_ones_do(
    model: Path, tmp_path: Path
) -> None:
    export.export_model(str(model), tmp_path / "a.pt", "torchscript")
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        traced = torch.jit.load(tmp_path / "a.pt")
        mean, std = (torch.tensor(RGB_STATS[key]).view(3, 1, 1) for key in ("mean", "std"))
        found = traced((probe().float() / 255 - mean) / std)
        assert (found - load_network(model)[0](probe())).abs().max() < 1e-5


def test_our_own_format_keeps_the_story(model: Path, tmp_path: Path) -> None:
    export.export_model(str(model), tmp_path / "a.safetensors", "safetensors")
    before, after = find_model(str(model)), find_model(str(tmp_path / "a.safetensors"))
    assert (before.name, before.recipe, before.threshold) == (
        after.name,
        after.recipe,
        after.threshold,
    )


def test_what_cannot_be_exported_is_told(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="torchvision, torchscript, safetensors"):
        export.export_model(str(model), tmp_path / "a", "caffe")
    with pytest.raises(ModelError):
        export.export_model(str(model), tmp_path / "absent" / "a", "torchvision")
    assert list(tmp_path.iterdir()) == []
