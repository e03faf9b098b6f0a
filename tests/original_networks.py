"""The networks of the libraries that the published weights come from, for comparison with ours.

Each function imports its library, which the extra `conformance` installs.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

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
    """The reference's network around classy_vision's trunk, without the normalisation."""

    def __init__(self, trunk: str, dimensions: int) -> None:
        from classy_vision.models import build_model

        super().__init__()
        self.backbone = build_model({"name": trunk}).classy_model
        channels = 512 if trunk == "resnet18" else 2048
        self.embeddings = nn.Sequential(nn.Flatten(), nn.Linear(channels, dimensions))

    def forward(self, x: Tensor) -> Tensor:
        return self.embeddings(GeM()(self.backbone(x)))


def birder(trunk: str, dimensions: int) -> nn.Module:
    import birder.net.resnet_v1
    import birder.net.resnext  # noqa: F401 - registers the network
    from birder.layers import FixedGeMPool2d
    from birder.model_registry import registry

    network = registry.net_factory(BIRDER[trunk], dimensions)
    network.features[0] = FixedGeMPool2d(3.0)  # as `resnet_v1_50_c1` has it and SSCD's weights need
    return network


def torchvision(trunk: str, dimensions: int) -> nn.Module:
    from torchvision.models import resnet

    groups: dict[str, Any] = {"groups": 32, "width_per_group": 4} if "x4d" in trunk else {}
    block = resnet.BasicBlock if trunk == "resnet18" else resnet.Bottleneck
    layers = {"resnet18": [2, 2, 2, 2], "resnet50": [3, 4, 6, 3]}.get(trunk, [3, 4, 23, 3])
    network = resnet.ResNet(block, layers, num_classes=dimensions, **groups)
    network.avgpool = GeM()
    return network


ORIGINALS = {"classy": Classy, "birder": birder, "torchvision": torchvision}


def seeded_original(layout: str, trunk: str, dimensions: int) -> nn.Module:
    """Return the library's network, which puts out logits, with numbers seeded by its own names."""
    from weight_layouts import seeded

    network = ORIGINALS[layout](trunk, dimensions).eval()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    network.load_state_dict({name: seeded(name, shape) for name, shape in shapes.items()})
    return network
