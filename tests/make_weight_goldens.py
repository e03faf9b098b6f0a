"""Compute golden descriptors of seeded weights with the original libraries; list their keys.

Usage: pip install classy_vision birder torchvision, then python tests/make_weight_goldens.py.
It rewrites `data/weights_keys`: the names and shapes of every layout, and the first six numbers of
the descriptor of `weight_layouts.probe()`. The core tests need none of these libraries.
"""

from __future__ import annotations

import json
from typing import Any

import birder.net.resnet_v1
import birder.net.resnext  # noqa: F401 - registers the network
import torch
from birder.model_registry import registry
from classy_vision.models import build_model
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet
from weight_layouts import KEYS, RGB_STATS, probe, seeded

BIRDER = {
    "resnet18": "resnet_v1_18",
    "resnet50": "resnet_v1_50_c1",
    "resnext101_32x4d": "resnext_101",
}


class GeM(nn.Module):
    """Pools to (B, C, 1, 1); written as in the reference, unlike ours."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x.clamp(min=1e-6).pow(3), x.shape[-2:]).pow(1 / 3)


class Classy(nn.Module):
    """The reference's network around classy_vision's trunk."""

    def __init__(self, trunk: str, dimensions: int) -> None:
        super().__init__()
        self.backbone = build_model({"name": trunk}).classy_model
        channels = 512 if trunk == "resnet18" else 2048
        self.embeddings = nn.Sequential(nn.Flatten(), nn.Linear(channels, dimensions))

    def forward(self, x: Tensor) -> Tensor:
        return self.embeddings(GeM()(self.backbone(x)))


class Birder(nn.Module):
    """Birder's network with the pooling that SSCD's weights need."""

    def __init__(self, trunk: str, dimensions: int) -> None:
        super().__init__()
        self.net = registry.net_factory(BIRDER[trunk], dimensions)

    def forward(self, x: Tensor) -> Tensor:
        return self.net.classifier(GeM()(self.net.body(self.net.stem(x))).flatten(1))


def torchvision(trunk: str, dimensions: int) -> nn.Module:
    groups: dict[str, Any] = {"groups": 32, "width_per_group": 4} if "x4d" in trunk else {}
    block = resnet.BasicBlock if trunk == "resnet18" else resnet.Bottleneck
    layers = {"resnet18": [2, 2, 2, 2], "resnet50": [3, 4, 6, 3]}.get(trunk, [3, 4, 23, 3])
    network = resnet.ResNet(block, layers, num_classes=dimensions, **groups)
    network.avgpool = GeM()
    return network


def golden(layout: str, trunk: str, model: nn.Module, named: nn.Module) -> list[float]:
    """Seed `named` by its own names, list them, and return the start of `model`'s descriptor."""
    shapes = {name: tuple(value.shape) for name, value in named.state_dict().items()}
    lines = (f"{n} {'x'.join(map(str, shape)) or 'scalar'}\n" for n, shape in shapes.items())
    (KEYS / f"{layout}_{trunk}.txt").write_text("".join(lines))
    named.load_state_dict({name: seeded(name, shape) for name, shape in shapes.items()})
    mean, std = (torch.tensor(RGB_STATS[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        descriptor = F.normalize(model.eval()((probe().float() / 255 - mean) / std))
    return [round(number, 7) for number in descriptor[0, :6].tolist()]


def main() -> None:
    goldens = {}
    for trunk in BIRDER:
        dimensions = 1024 if "101" in trunk else 512
        classy, born = Classy(trunk, dimensions), Birder(trunk, dimensions)
        plain = torchvision(trunk, dimensions)
        goldens[f"classy_{trunk}"] = golden("classy", trunk, classy, classy)
        goldens[f"birder_{trunk}"] = golden("birder", trunk, born, born.net)
        goldens[f"torchvision_{trunk}"] = golden("torchvision", trunk, plain, plain)
    text = json.dumps(dict(sorted(goldens.items())), indent=1)
    (KEYS / "goldens.json").write_text(text)


if __name__ == "__main__":
    main()
