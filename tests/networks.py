"""Small networks whose layers all do something, and pixels for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sscd_cli.models.files.weights import inspect_weights, read_network
from sscd_cli.models.network import Network


def lively(trunk: str) -> Network:
    """A network whose batch norms all do something, as those of a trained one."""
    torch.manual_seed(0)
    network = Network(trunk, 16)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1)
            nn.init.normal_(module.bias, 0, 0.2)
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def network_and_metadata(path: Path) -> tuple[Network, Any]:
    """A network of a file, and what the file says of it."""
    weights = inspect_weights(path)
    return read_network(weights), weights.notes["sscd"]


def pixels(count: int, size: int = 64) -> Tensor:
    """Gradients with noise, so that descriptors differ."""
    draw = torch.Generator().manual_seed(2)
    plane = torch.rand(count, 3, 4, 4, generator=draw)
    smooth = nn.functional.interpolate(plane, (size, size), mode="bilinear") * 230
    return (smooth + 25 * torch.rand(count, 3, size, size, generator=draw)).to(torch.uint8)
