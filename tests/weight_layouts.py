"""Weight files of every published layout and container, with seeded instead of trained numbers.

The names and shapes in `data/weights_keys` were listed from the original libraries (classy_vision
0.7.0, birder 0.8.4, torchvision 0.29.2); `make_weight_goldens.py` lists them
anew and computes their descriptors.
"""

from __future__ import annotations

import functools
import json
import warnings
import zlib
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

KEYS = Path(__file__).parent / "data" / "weights_keys"
TRUNKS = ("resnet18", "resnet50", "resnext101_32x4d")
SIGNATURE = {"inputs": [{"data_shape": [0, 3, 320, 320]}], "outputs": [{"data_shape": [0, 512]}]}
RGB_STATS = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def seeded(name: str, shape: tuple[int, ...]) -> Tensor:
    """Return a tensor that depends on its name, with a spread that keeps activations finite."""
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return torch.tensor(7)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    if leaf == "running_var":
        return noise.abs() * 0.5 + 0.5
    if leaf == "running_mean":
        return noise * 0.1
    if len(shape) == 1:
        return noise * 0.1 + 1 if leaf == "weight" else noise * 0.1
    return noise * (2 / noise[0].numel()) ** 0.5 * 0.7


def probe() -> Tensor:
    """Return the image of the golden descriptors: uint8 (1, 3, 64, 80)."""
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (1, 3, 64, 80), generator=generator, dtype=torch.uint8)


def keys(layout: str, trunk: str) -> dict[str, tuple[int, ...]]:
    """Return the tensor names and shapes of a layout, as its own library lists them."""
    lines = (KEYS / f"{layout}_{trunk}.txt").read_text().splitlines()
    pairs = (line.split() for line in lines)
    return {n: () if s == "scalar" else tuple(map(int, s.split("x"))) for n, s in pairs}


@functools.cache
def state(layout: str, trunk: str) -> dict[str, Tensor]:
    return {name: seeded(name, shape) for name, shape in keys(layout, trunk).items()}


def birder_checkpoint(tensors: dict[str, Tensor]) -> dict[str, Any]:
    return {
        "state": tensors,
        "birder_version": "0.8.4",
        "task": "image_classification",
        "signature": SIGNATURE,
        "class_to_idx": {},
        "rgb_stats": RGB_STATS,
    }


def lightning_checkpoint(tensors: dict[str, Tensor], power: float = 3.0) -> dict[str, Any]:
    """Return a checkpoint as the reference's training writes it, optimizer state included."""
    momentum = {"momentum_buffer": torch.zeros(3)}
    return {
        "epoch": 99,
        "pytorch-lightning_version": "1.5.10",
        "state_dict": {f"model.{name}": value for name, value in tensors.items()},
        "optimizer_states": [{"state": {0: momentum}, "param_groups": [{"params": [0]}]}],
        "callbacks": {"ModelCheckpoint{}": {"best_model_path": "x.ckpt"}},
        "hyper_parameters": {"args": Namespace(pool_param=power, dims=512), "train_steps": 10},
    }


def save_torchscript(path: Path, tensors: dict[str, Tensor], **extra: str) -> None:
    """Write an un-frozen trace whose modules bear the names of `tensors`."""
    root = _Tree()
    for name, value in tensors.items():
        *folders, leaf = name.split(".")
        node = root
        for folder in folders:
            if folder not in node._modules:
                node.add_module(folder, _Tree())
            node = node._modules[folder]  # type: ignore[assignment]
        if leaf in ("weight", "bias"):
            node.register_parameter(leaf, nn.Parameter(value))
        else:
            node.register_buffer(leaf, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; the files stay
        traced = torch.jit.trace(root.eval(), torch.zeros(1))
        torch.jit.save(traced, path, _extra_files=extra)


class _Tree(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


def save_birder_safetensors(path: Path, tensors: dict[str, Tensor]) -> None:
    texts = {"signature": json.dumps(SIGNATURE), "rgb_stats": json.dumps(RGB_STATS)}
    save_file(tensors, path, metadata={"birder_version": "0.8.4", **texts})


def save_birder_pts(path: Path, tensors: dict[str, Tensor]) -> None:
    texts = {"signature": json.dumps(SIGNATURE), "rgb_stats": json.dumps(RGB_STATS)}
    save_torchscript(path, tensors, birder_version="0.8.4", task="image_classification", **texts)


def write(path: Path, kind: str, layout: str, trunk: str) -> Path:
    """Write the file of one container; its name is deliberately beside the point."""
    tensors = state(layout, trunk)
    wrapped = {f"backbone.{n}" if layout == "torchvision" else n: v for n, v in tensors.items()}
    writers = {
        "state dict": lambda: torch.save(wrapped, path),
        "old state dict": lambda: torch.save(wrapped, path, _use_new_zipfile_serialization=False),
        "lightning": lambda: torch.save(lightning_checkpoint(wrapped), path),
        "torchscript": lambda: save_torchscript(path, wrapped),
        "birder pt": lambda: torch.save(birder_checkpoint(tensors), path),
        "birder pts": lambda: save_birder_pts(path, tensors),
        "birder safetensors": lambda: save_birder_safetensors(path, tensors),
    }
    writers[kind]()
    return path
