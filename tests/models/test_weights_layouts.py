"""Every published container and layout gives the descriptors that its own library computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from conftest import Run
from weight_layouts import KEYS, TRUNKS, keys, probe, save_torchscript, state, write

from sscd_cli.choices import Trunk
from sscd_cli.models import network, trunks
from sscd_cli.models.files import layouts
from sscd_cli.models.files.weights import inspect_weights, read_network

GOLDENS = json.loads((KEYS / "goldens.json").read_text())
CASES = [
    *(("state dict", layout) for layout in ("torchvision", "classy")),
    *(("old state dict", layout) for layout in ("torchvision", "classy")),
    *(("lightning", layout) for layout in ("torchvision", "classy")),
    *(("torchscript", layout) for layout in ("torchvision", "classy", "birder")),
    *((kind, "birder") for kind in ("birder pt", "birder pts", "birder safetensors")),
    ("birder pts", "classy"),
]
SLOW = {"resnet50", "resnext101_32x4d"}


def cases() -> list[object]:
    return [
        pytest.param(kind, layout, trunk, marks=[pytest.mark.slow] if trunk in SLOW else [])
        for trunk in TRUNKS
        for kind, layout in CASES
    ]


@pytest.mark.parametrize(("kind", "layout", "trunk"), cases())
def test_descriptors_equal_the_original_library(
    tmp_path: Path, kind: str, layout: str, trunk: str
) -> None:
    weights = inspect_weights(write(tmp_path / "a.bin", kind, layout, trunk))
    assert (weights.layout, weights.trunk) == (layout, trunk)
    assert weights.dimensions == (1024 if "101" in trunk else 512)
    assert weights.is_birder == ("birder" in kind or layout == "birder")
    with torch.inference_mode():
        descriptor = read_network(weights)(probe())[0].numpy()
    assert np.abs(descriptor[:6] - GOLDENS[f"{layout}_{trunk}"]).max() < 1e-5


@pytest.mark.parametrize("trunk", TRUNKS)
def test_every_layout_names_exactly_the_tensors_of_our_network(trunk: str) -> None:
    with torch.device("meta"):
        ours = network.Network(trunk, 1024 if "101" in trunk else 512).state_dict()
    for layout in layouts.LAYOUTS:
        shapes = keys(layout, trunk)
        found, names = layouts.to_torchvision(shapes)
        assert found == layout
        assert {n: shapes[names[n]] for n in names} == {n: tuple(v.shape) for n, v in ours.items()}


def test_the_torch_free_table_of_trunks_is_that_of_the_network() -> None:
    assert set(layouts.TRUNK_OF_SHAPE.values()) == set(trunks.TRUNKS) == set(get_args(Trunk))
    for trunk in trunks.TRUNKS:
        with torch.device("meta"):
            ours = network.Network(trunk, 64).state_dict()
        assert layouts.infer_trunk({n: tuple(v.shape) for n, v in ours.items()}) == (trunk, 64)


def test_three_files_of_one_network_give_a_pair_one_similarity(
    sscd: Run, gallery: Path, tmp_path: Path
) -> None:
    tensors = state("torchvision", "resnet18")
    _, classy = layouts.to_torchvision(keys("classy", "resnet18"))
    renamed = {classy[name]: value for name, value in tensors.items()}
    torch.save({f"backbone.{n}": v for n, v in tensors.items()}, tmp_path / "net.torchvision.pt")
    torch.save(renamed, tmp_path / "net.classy.pt")
    save_torchscript(tmp_path / "net.torchscript.pt", renamed)
    said = []
    for format in ("torchvision", "classy", "torchscript"):
        words = (
            "-m",
            f"net.{format}.pt",
            "--device",
            "cpu",
            "--precision",
            "fp32",
            "-t",
            "0.9",
            "-f",
            "json",
        )
        ran = sscd("pair", gallery / "alps.jpg", gallery / "planet.jpg", *words, "-f", "json")
        assert ran.status == 0, ran.err
        said.append(json.loads(ran.out)["similarity"])
    assert len({f"{similarity:.6f}" for similarity in said}) == 1
    assert said[0] < 0.999
