"""An exported file gives the model's descriptors, read by us and without us."""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Run, error_line
from networks import network_and_metadata
from torch import Tensor
from weight_layouts import RGB_STATS, probe

from sscd_cli.errors import ModelError, SscdError, UsageError
from sscd_cli.images.preprocess import RECIPES, Recipe
from sscd_cli.models.catalogue.registry import find_model
from sscd_cli.models.files import export
from sscd_cli.models.files.onnx_file import run_onnx, save_onnx
from sscd_cli.models.files.safetensors_file import save_network
from sscd_cli.models.files.weights import inspect_weights, read_network
from sscd_cli.models.network import Network
from sscd_cli.models.trunks import TRUNKS, Residual

THRESHOLD = {"value": 0.61, "source": "measured"}


def save(path: Path, recipe: Recipe, trunk: str = "mini", mean: float | None = None) -> Path:
    torch.manual_seed(4)
    network = Network(trunk, 8)
    if mean is not None:
        network.mean = torch.full((3, 1, 1), mean)
    metadata = {"name": "tiny", "preprocessing": asdict(recipe), "threshold": THRESHOLD}
    save_network(path, network, metadata | {"licence": "CC0-1.0"})
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("model") / "tiny.safetensors", RECIPES["mini-160"])


def normalised(pixels: Tensor) -> Tensor:
    mean, std = (torch.tensor(RGB_STATS[key]).view(3, 1, 1) for key in ("mean", "std"))
    return (pixels.float() / 255 - mean) / std


def onnx_session(path: Path) -> Any:
    return pytest.importorskip("onnxruntime").InferenceSession(path)


@pytest.mark.parametrize("format", export.FORMATS)
def test_an_exported_file_gives_the_same_descriptors(
    model: Path, tmp_path: Path, format: str
) -> None:
    path = tmp_path / "out.bin"
    done = export.export_model(str(model), path, format)
    assert 0 <= done.difference <= export.TOLERANCE
    assert [p.name for p in tmp_path.iterdir()] == ["out.bin"]
    if format != "onnx":
        with torch.inference_mode():
            expected, found = (read_network(inspect_weights(p))(probe()) for p in (model, path))
        assert torch.equal(expected, found)


def test_a_trace_takes_normalised_pixels_as_the_official_ones_do(
    model: Path, tmp_path: Path
) -> None:
    export.export_model(str(model), tmp_path / "a.pt", "torchscript")
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        found = torch.jit.load(tmp_path / "a.pt")(normalised(probe()))
        assert (found - network_and_metadata(model)[0](probe())).abs().max() < 1e-5


@pytest.mark.parametrize(
    "trunk",
    [
        "mini",
        "efficientnet_lite0",
        "narrow",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet50", "resnext101_32x4d")),
    ],
)
def test_onnx_takes_any_batch_and_any_size_where_the_aspect_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trunk: str
) -> None:
    bottleneck = Residual(True, (1, 2, 1, 1), (8, 16, 32, 64), stem=8, groups=2, group_width=16)
    monkeypatch.setitem(TRUNKS, "narrow", bottleneck)
    torch.manual_seed(5)
    network, path = Network(trunk, 8).eval(), tmp_path / "a.onnx"
    save_onnx(path, network, {}, None)
    assert onnx_session(path).get_inputs()[0].shape == ["batch", 3, "height", "width"]
    for shape in ((1, 3, 64, 64), (3, 3, 65, 130), (2, 3, 97, 64)):
        pixels = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            found, expected = run_onnx(path, normalised(pixels)), network(pixels)
        assert (found - expected).abs().max() < 1e-5


def test_onnx_of_a_squashing_model_has_its_size_and_says_what_it_is(
    model: Path, tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    export.export_model(str(model), tmp_path / "a.onnx", "onnx")
    session = onnx_session(tmp_path / "a.onnx")
    (entrance,), (exit,) = session.get_inputs(), session.get_outputs()
    assert (entrance.name, entrance.shape) == ("pixels", ["batch", 3, 160, 160])
    assert (entrance.type, exit.name, exit.shape) == ("tensor(float)", "descriptors", ["batch", 8])
    notes = session.get_modelmeta().custom_metadata_map
    metadata = json.loads(notes["sscd"])
    assert (metadata["name"], metadata["licence"], metadata["trunk"]) == ("tiny", "CC0-1.0", "mini")
    assert metadata["preprocessing"] == asdict(RECIPES["mini-160"])
    assert json.loads(notes["rgb_stats"])["mean"] == pytest.approx(RGB_STATS["mean"])
    onnx.checker.check_model(onnx.load(tmp_path / "a.onnx"), full_check=True)


@pytest.mark.parametrize("format", ["torchscript", "safetensors"])
def test_what_is_known_of_a_model_survives_its_export(tmp_path: Path, format: str) -> None:
    recipe = Recipe("mine-96", 96, square=True, resample="bicubic", exif=False, decode="fast")
    source = save(tmp_path / "a.safetensors", recipe, mean=0.25)
    done = export.export_model(str(source), tmp_path / "b", format)
    spec = find_model(str(tmp_path / "b"))
    assert done.lost is None
    assert (spec.name, spec.recipe, spec.licence) == ("tiny", recipe, "CC0-1.0")
    assert (spec.threshold, spec.threshold_source) == (0.61, "measured")
    assert read_network(inspect_weights(tmp_path / "b")).mean.flatten().tolist() == [0.25] * 3


@pytest.mark.parametrize(("recipe", "lost"), [("mini-160", True), ("small-288", False)])
def test_a_state_dict_loses_only_an_unusual_recipe_and_that_is_told(
    sscd: Run, tmp_path: Path, recipe: str, lost: bool
) -> None:
    source = save(tmp_path / "a.safetensors", RECIPES[recipe])
    ran = sscd("models", "export", source, "-o", "b.pt", "-f", "torchvision", "-q")
    assert (ran.status, "cannot say that images are prepared as mini-160" in ran.err) == (0, lost)
    assert find_model("b.pt").recipe == RECIPES["small-288"]


@pytest.mark.parametrize("format", export.FORMATS)
def test_a_file_that_computes_something_else_is_not_left_behind(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    write, run = export.FORMATS[format]
    monkeypatch.setitem(export.FORMATS, format, (write, lambda path, x: run(path, x) + 2e-5))
    with pytest.raises(ModelError, match=r"differs by 2\.\de-05"):
        export.export_model(str(model), tmp_path / "out", format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_and_leaves_nothing(
    sscd: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    ran = sscd("models", "export", model, "-o", "a.onnx", "-f", "onnx")
    assert ran.status == 3
    assert error_line(ran) == (f"writing ONNX needs {package}; run `pip install 'sscd-cli[onnx]'`")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_told(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="torchvision, torchscript, onnx, safetensors"):
        export.export_model(str(model), tmp_path / "a", "caffe")
    with pytest.raises(SscdError, match="no such folder"):
        export.export_model(str(model), tmp_path / "absent" / "a", "torchvision")
    with pytest.raises(SscdError, match=r"cannot write .*: Is a directory; name another file"):
        export.export_model(str(model), tmp_path, "torchvision")
    assert list(tmp_path.iterdir()) == []
