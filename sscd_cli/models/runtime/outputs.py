"""What a network can put out beside descriptors: its pooled features, its raw projection, its maps.

Shapes: B images, C channels of the last feature map, D descriptor dimensions.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from sscd_cli.choices import OUTPUT_KINDS, OutputKind
from sscd_cli.errors import UsageError
from sscd_cli.models.network import TRUNKS, Network, gem


def compute(network: Network, pixels_B3HW: Tensor, kind: OutputKind = "descriptor") -> Tensor:
    """Return one float32 row an image.

    "descriptor" is (B, D) of unit length; "logits" the same before normalisation, what Birder's
    `net(x)` gives; "embedding" the GeM-pooled features, (B, C), what Birder's `embedding` gives.
    Raises: UsageError: no such kind.
    """
    if kind not in OUTPUT_KINDS:
        raise UsageError(f"unknown output kind {kind!r}", f"use {', '.join(OUTPUT_KINDS)}")
    if kind == "descriptor":
        return cast(Tensor, network(pixels_B3HW))
    maps = network.features(pixels_B3HW)
    with torch.autocast(maps.device.type, enabled=False):
        pooled = gem(maps.float())
        return pooled if kind == "embedding" else cast(Tensor, network.fc(pooled))


def width(network: Network, kind: OutputKind) -> int:
    """Return the numbers in a row of that kind."""
    return TRUNKS[network.trunk].channels if kind == "embedding" else network.dimensions


def stage_maps(network: Network, pixels_B3HW: Tensor) -> dict[str, Tensor]:
    """Return the feature maps after each stage, float32, channels first.

    "stage1" to "stage4", at strides 4, 8, 16 and 32; a ResNet-50 and 320 × 320 pixels give
    256×80×80, 512×40×40, 1024×20×20 and 2048×10×10.
    """
    x = network.stem(pixels_B3HW)
    maps = {}
    for number, stage in enumerate(
        (network.layer1, network.layer2, network.layer3, network.layer4), start=1
    ):
        x = stage(x)
        maps[f"stage{number}"] = x.float()
    return maps
