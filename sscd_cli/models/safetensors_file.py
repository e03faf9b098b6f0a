"""Our own model file: one safetensors file, its tensors named as torchvision's, its story as text.

The metadata entry `sscd` is a JSON object with at least `trunk`, `dimensions` and `preprocessing`
(the recipe's fields); `sscd train` adds the training recipe, the data and the version of the tool.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sscd_cli.errors import ModelError
from sscd_cli.models.network import TRUNKS, Network


def save_network(
    path: Path, network: Network, story: dict[str, Any], dtype: torch.dtype = torch.float32
) -> None:
    """Write `network` with its `story`, completely or not at all; floats are stored as `dtype`."""
    tensors = {
        name: (value.to(dtype) if value.is_floating_point() else value).contiguous().cpu()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    story = {"trunk": network.trunk, "dimensions": network.dimensions, **story}
    part = path.with_name(f".{path.name}.part")
    save_file(tensors, part, metadata={"sscd": json.dumps(story, sort_keys=True)})
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(path)


def read_story(path: Path) -> dict[str, Any]:
    """Return what a model file says of itself, without reading its tensors.

    Raises: ModelError: the file is damaged, or not one of ours.
    """
    with _opened(path) as file:
        text = (file.metadata() or {}).get("sscd", "null")
    try:
        story = json.loads(text)
        known = story["trunk"] in TRUNKS and story["dimensions"] > 0 and story["preprocessing"]
    except (ValueError, TypeError, KeyError):
        known = False
    if not known:
        raise ModelError(f"{path} is no sscd model", "name a file that `sscd train` wrote")
    return cast(dict[str, Any], story)


def load_network(path: Path) -> tuple[Network, dict[str, Any]]:
    """Read a network (float32, evaluation mode) and its story.

    Raises: ModelError: the file is damaged, not ours, or its tensors do not fit its trunk.
    """
    story = read_story(path)
    network = Network(story["trunk"], int(story["dimensions"]))
    expected = {name: value.shape for name, value in network.state_dict().items()}
    with _opened(path) as file:
        names = set(file.keys())
        for name, shape in expected.items():
            if name.endswith("num_batches_tracked"):
                continue
            if name not in names or tuple(file.get_slice(name).get_shape()) != tuple(shape):
                raise ModelError(f"{path} has no {name} of shape {tuple(shape)}", "copy it again")
        tensors = {name: file.get_tensor(name).float() for name in names & expected.keys()}
    network.load_state_dict(tensors, strict=False)
    return network.eval(), story


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise ModelError(f"cannot read the model {path}: {error}", "copy it again") from error
