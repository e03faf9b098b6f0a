"""Descriptors equal those of the libraries that the weights come from, run beside ours.

Needs the extra `conformance`; without it `test_weights_layouts.py` compares with stored numbers.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from original_networks import ORIGINALS, GeM, seeded_original, torchvision
from PIL import Image
from torch import nn
from torch.nn import functional as F
from weight_layouts import RGB_STATS, SIGNATURE, lightning_checkpoint

from sscd_cli.images.preprocess import RECIPES
from sscd_cli.images.resize import resize
from sscd_cli.models.files.export import export_model
from sscd_cli.models.files.weights import inspect_weights, read_network
from sscd_cli.models.load import Model, load_model

pytestmark = pytest.mark.filterwarnings("ignore")  # of other people's imports

LARGE = pytest.mark.slow
TRUNKS = [
    "resnet18",
    pytest.param("resnet50", marks=LARGE),
    pytest.param("resnext101_32x4d", marks=LARGE),
]
DIMENSIONS = 40
MEAN, STD = (torch.tensor(RGB_STATS[key]).view(3, 1, 1) for key in ("mean", "std"))


def imported(name: str) -> Any:
    """Import a library, or skip: torchvision raises RuntimeError beside another build of torch."""
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{name}: {error}")


def original(layout: str, trunk: str) -> nn.Module:
    imported({"classy": "classy_vision"}.get(layout, layout))
    return seeded_original(layout, trunk, DIMENSIONS)


class Normalising(nn.Module):
    """What the official TorchScript files are traces of."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.backbone, self.embeddings = network.backbone, network.embeddings
        self.pool = GeM()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.embeddings(self.pool(self.backbone(x))))


def state_dict(network: nn.Module, path: Path) -> None:
    torch.save(network.state_dict(), path)


def old_state_dict(network: nn.Module, path: Path) -> None:
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False)


def lightning(network: nn.Module, path: Path) -> None:
    torch.save(lightning_checkpoint(network.state_dict()), path)


def official_trace(network: nn.Module, path: Path) -> None:
    torch.jit.trace(Normalising(network), torch.zeros(1, 3, 64, 64)).save(path)


def birder_pt(network: nn.Module, path: Path) -> None:
    from birder.common import fs_ops

    place = fs_ops.model_path
    try:
        fs_ops.model_path = lambda *_, **options: (
            path.with_suffix(".states") if options.get("states") else path
        )
        fs_ops.checkpoint_model("net", 1, network, SIGNATURE, {}, RGB_STATS, None, None, None, None)
    finally:
        fs_ops.model_path = place


def birder_pts(network: nn.Module, path: Path) -> None:
    from birder.common import fs_ops

    script = torch.jit.script(network)
    fs_ops.save_pts(script, path, "image_classification", {}, SIGNATURE, RGB_STATS)


def birder_safetensors(network: nn.Module, path: Path) -> None:
    from birder.common import fs_ops

    fs_ops.save_st(network, str(path), "image_classification", {}, SIGNATURE, RGB_STATS)


@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize(
    ("layout", "save"),
    [
        *((layout, save) for layout in ORIGINALS for save in (state_dict, old_state_dict)),
        ("classy", lightning),
        ("torchvision", lightning),
        ("classy", official_trace),
        ("birder", birder_pt),
        ("birder", birder_pts),
        ("birder", birder_safetensors),
    ],
)
def test_the_file_of_a_library_gives_its_descriptors(
    tmp_path: Path, layout: str, save: Callable[[nn.Module, Path], None], trunk: str
) -> None:
    network, path = original(layout, trunk), tmp_path / "a.bin"
    save(network, path)
    ours = read_network(inspect_weights(path))
    for size in ((64, 64), (96, 130)):
        pixels = torch.randint(0, 256, (2, 3, *size), generator=torch.Generator().manual_seed(2))
        with torch.inference_mode():
            theirs = F.normalize(network((pixels.float() / 255 - MEAN) / STD))
            assert (ours(pixels) - theirs).abs().max() < 1e-5


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(3)
    coarse = [rng.integers(0, 256, (9, 12, 3), np.uint8) for _ in range(2)]
    sizes = ((500, 375), (333, 640))
    return [Image.fromarray(c).resize(size) for c, size in zip(coarse, sizes, strict=True)]


def birder_model(tmp_path: Path, trunk: str) -> tuple[nn.Module, Model, torch.Tensor]:
    """Return Birder's network, ours from its file, and Birder's own input for `pictures()`."""
    network = original("birder", trunk)
    from birder.data.transforms.classification import inference_preset

    birder_safetensors(network, tmp_path / "a.bin")
    prepare: Any = inference_preset((320, 320), RGB_STATS, 1.0)
    inputs = torch.stack([prepare(picture) for picture in pictures()])
    return network, load_model(str(tmp_path / "a.bin"), device="cpu", precision="fp32"), inputs


@pytest.mark.parametrize("trunk", TRUNKS)
def test_birders_outputs_follow_from_its_own_preprocessing(tmp_path: Path, trunk: str) -> None:
    network, model, inputs = birder_model(tmp_path, trunk)
    with torch.inference_mode():
        logits, pooled = network(inputs), network.embedding(inputs)
        maps = network.detection_features(inputs)
    assert np.abs(model.embed(pictures()) - F.normalize(logits).numpy()).max() < 1e-5
    assert_close(model.embed(pictures(), kind="logits"), logits)
    assert_close(model.embed(pictures(), kind="embedding"), pooled)
    ours = model.detection_features(pictures())
    assert list(ours) == list(maps)
    for name, values in ours.items():
        assert_close(values, maps[name])


def assert_close(ours: np.ndarray[Any, Any], theirs: torch.Tensor) -> None:
    """Compare numbers that are not of unit length, relative to the largest."""
    assert ours.shape == tuple(theirs.shape)
    assert np.abs(ours - theirs.numpy()).max() < 1e-5 * theirs.abs().max().item()


@pytest.mark.parametrize("name", RECIPES)
def test_resizing_is_torchvisions_bit_for_bit(name: str) -> None:
    v2 = imported("torchvision.transforms.v2")
    v1 = imported("torchvision.transforms")
    recipe = replace(RECIPES[name], decode="exact")
    size = (recipe.size, recipe.size) if recipe.square else recipe.size
    mode = v1.InterpolationMode(recipe.resample)
    rng = np.random.default_rng(4)
    for shape in ((375, 500), (500, 375), (97, 101), (288, 288), (160, 320), (1200, 1601), (33, 9)):
        picture = Image.fromarray(rng.integers(0, 256, (*shape, 3), np.uint8))
        ours = np.asarray(resize(picture, recipe))
        for library in (v1, v2):
            theirs = np.asarray(library.Resize(size, interpolation=mode)(picture))
            np.testing.assert_array_equal(ours, theirs)


def test_pixels_enter_the_network_as_totensor_and_normalize_make_them() -> None:
    transforms = imported("torchvision.transforms")
    picture = resize(pictures()[0], RECIPES["small-288"])
    theirs = transforms.Normalize(**RGB_STATS)(transforms.ToTensor()(picture))
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    assert torch.equal((pixels.float() / 255 - MEAN) / STD, theirs)


def test_an_exported_state_dict_loads_strictly_in_torchvision(tmp_path: Path) -> None:
    state_dict(original("torchvision", "resnet18"), tmp_path / "a.pt")
    export_model(str(tmp_path / "a.pt"), tmp_path / "b.pt", "torchvision")
    found = torch.load(tmp_path / "b.pt", weights_only=True)
    bare = {name.removeprefix("backbone."): value for name, value in found.items()}
    again = torchvision("resnet18", DIMENSIONS)
    again.load_state_dict(bare, strict=True)
    expected = torch.load(tmp_path / "a.pt", weights_only=True)
    kept = [name for name in bare if not name.endswith("num_batches_tracked")]
    assert all(torch.equal(bare[name], expected[name]) for name in kept)
