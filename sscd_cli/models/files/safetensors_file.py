"""Our own model file: safetensors, named as torchvision's, and metadata that say what it is.

The metadata entry `sscd` is a JSON object with at least `trunk`, `dimensions` and `preprocessing`
(the recipe's fields); `sscd train` adds the training recipe, the data and the version of the tool.
The entry `rgb_stats` has the mean and the standard deviation of the pixels, 0..1, RGB.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from sscd_cli.models.network import Network
from sscd_cli.storage.files import whole_file


def save_network(
    path: Path, network: Network, metadata: dict[str, Any], dtype: torch.dtype = torch.float32
) -> None:
    """Write `network` and what it is, completely or not at all; floats are stored as `dtype`."""
    tensors = {
        name: (value.to(dtype) if value.is_floating_point() else value).contiguous().cpu()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    # the library's own writer lets nobody but the owner read the file
    with whole_file(path) as file:
        file.write(save(tensors, metadata=notes_of(network, metadata)))


def notes_of(network: Network, metadata: dict[str, Any]) -> dict[str, str]:
    """Return what a file of `network` says of itself: texts by name."""
    metadata = {"trunk": network.trunk, "dimensions": network.dimensions, **metadata}
    stats = {"mean": network.mean.flatten().tolist(), "std": network.std.flatten().tolist()}
    return {"sscd": json.dumps(metadata, sort_keys=True), "rgb_stats": json.dumps(stats)}
