"""From any published weight file to our network: recognised by content, read without running it.

`inspect_weights` loads no torch: it answers what a file is. `read_network` then reads the tensors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sscd_cli.errors import ModelError
from sscd_cli.images.preprocess import IMAGENET_MEAN, IMAGENET_STD
from sscd_cli.models.files.containers import (
    AGAIN,
    OTHER,
    UNFROZEN,
    ModelContents,
    Storages,
    named_tensors,
    opened,
)
from sscd_cli.models.files.layouts import infer_trunk, to_torchvision
from sscd_cli.models.files.tensors import FLOATS, StoredTensor
from sscd_cli.models.files.unpickle import Opaque
from sscd_cli.text import from_json

if TYPE_CHECKING:
    from torch import Tensor

    from sscd_cli.models.network import Network

COUNTER = "num_batches_tracked"

# where the tensors of a checkpoint hang: Lightning, Birder, common habits
_BRANCHES = ("state_dict", "state", "model_state_dict", "model")
_NOTES = ("sscd", "birder_version", "task", "signature", "rgb_stats")


@dataclass(frozen=True)
class WeightFile:
    """What a weight file is.

    kind: the container (see `containers.ModelContents`). layout: whose names its tensors bear.
    tensors: by torchvision's names. notes: what it says of itself, plain values by name; untrusted.
    """

    path: Path
    kind: str
    layout: str
    trunk: str
    dimensions: int
    tensors: Mapping[str, StoredTensor] = field(repr=False)
    notes: Mapping[str, Any] = field(repr=False)

    @property
    def is_birder(self) -> bool:
        return self.layout == "birder" or "birder_version" in self.notes


def inspect_weights(path: Path) -> WeightFile:
    """Recognise a weight file and list its tensors without reading them.

    Raises: ModelError: not a weight file, not an SSCD network, damaged, or not safe to read.
    """
    with opened(path) as contents:
        tensors = dict(_branch(contents))
        if not tensors:
            raise _empty(path, contents.kind)
        try:
            layout, places = to_torchvision(tensors)
            named = {ours: tensors[theirs] for ours, theirs in places.items()}
            _check(named, contents.storages)
            trunk, dimensions = infer_trunk({name: t.shape for name, t in named.items()})
        except ValueError as error:
            raise ModelError(f"{path} is no SSCD model: {error}", OTHER) from error
        notes = _notes(contents)
    _check_pooling(path, notes)
    return WeightFile(path, contents.kind, layout, trunk, dimensions, named, notes)


def _empty(path: Path, kind: str) -> ModelError:
    if kind == "torchscript":
        what = f"{path} is TorchScript whose weights are constants in its code (torch.jit.freeze)"
        return ModelError(what, UNFROZEN)
    return ModelError(f"{path} holds no tensors", OTHER)


def _branch(contents: ModelContents) -> list[tuple[str, StoredTensor]]:
    tree = contents.tree
    if contents.kind == "safetensors":
        return list(tree.items())
    if contents.kind == "torchscript" or not isinstance(tree, dict):
        return list(named_tensors(tree)) if isinstance(tree, Opaque) else []
    flat = {key: value for key, value in tree.items() if isinstance(value, StoredTensor)}
    inner = [tree[name] for name in _BRANCHES if isinstance(tree.get(name), dict)]
    return max((list(named_tensors(branch)) for branch in (flat, *inner)), key=len)


def _check(tensors: Mapping[str, StoredTensor], storages: Storages) -> None:
    for name, tensor in tensors.items():
        size = storages.size(tensor.storage) if isinstance(tensor.storage, str) else None
        if size is None or not tensor.fits(size):
            raise ValueError(f"{name} lies outside the file or has an impossible shape")
        if tensor.dtype not in FLOATS and not name.endswith(COUNTER):
            raise ValueError(f"{name} holds {tensor.dtype} numbers; quantised weights are not read")


def _notes(contents: ModelContents) -> dict[str, Any]:
    notes: dict[str, Any] = {}
    for name in _NOTES:
        if name in contents.notes:
            notes[name] = parsed_note(contents.notes[name])
    if isinstance(contents.tree, dict) and contents.kind != "safetensors":
        notes |= {name: contents.tree[name] for name in _NOTES if name in contents.tree}
        arguments = contents.tree.get("hyper_parameters", {})
        if isinstance(arguments, dict) and isinstance(arguments.get("args"), Opaque):
            arguments = arguments["args"].state
        if isinstance(arguments, dict) and "pool_param" in arguments:
            notes["pool_param"] = arguments["pool_param"]
    return notes


def parsed_note(text: str) -> Any:
    """Return what a file says of itself as JSON, or else as the text that it is."""
    try:
        return from_json(text)
    except ValueError:
        return text


def _check_pooling(path: Path, notes: Mapping[str, Any]) -> None:
    # the power is no tensor; only training checkpoints say it, and only 3 was ever published
    power = notes.get("pool_param", 3)
    if not isinstance(power, int | float) or power != 3:
        raise ModelError(
            f"{path} was trained with GeM power {power!r:.20}, sscd computes power 3",
            "use a network trained with --pool_param 3",
        )


def _statistics(weights: WeightFile) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation (0..1, RGB) that the file states, or ImageNet's.

    Raises: ModelError: it states something else than three positive numbers each.
    """
    stated = weights.notes.get("rgb_stats")
    if stated is None:
        return IMAGENET_MEAN, IMAGENET_STD
    try:
        mean = tuple(float(value) for value in stated["mean"])
        std = tuple(float(value) for value in stated["std"])
    except (TypeError, KeyError, ValueError):
        mean, std = (), ()
    numbers = len(mean) == len(std) == 3 and all(map(math.isfinite, mean + std))
    if not numbers or min(std) <= 0:
        raise ModelError(f"{weights.path} states malformed rgb_stats", AGAIN)
    return mean, std


def read_network(weights: WeightFile) -> Network:
    """Read the tensors into a network (float32, evaluation mode).

    Raises: ModelError: a tensor is missing, has another shape than its trunk needs, is damaged, or
    holds a number that is not finite.
    """
    import torch

    from sscd_cli.models.network import Network

    with torch.device("meta"):
        network = Network(weights.trunk, weights.dimensions)
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    _compare(weights, {n: s for n, s in expected.items() if not n.endswith(COUNTER)})
    with opened(weights.path) as contents:
        tensors = _read(weights, contents.storages, expected)
    network.load_state_dict(tensors, assign=True)
    network.mean, network.std = (torch.tensor(c).view(3, 1, 1) for c in _statistics(weights))
    return network.eval()


def _compare(weights: WeightFile, expected: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in expected.items():
        found = weights.tensors.get(name)
        if found is None or found.shape != shape:
            has = "has no" if found is None else f"has {found.shape} as"
            raise ModelError(f"{weights.path} {has} {name}, a {weights.trunk} needs {shape}", AGAIN)
    extra = weights.tensors.keys() - expected.keys()
    extra = {name for name in extra if not name.endswith(COUNTER)}
    if extra:
        raise ModelError(
            f"{weights.path} has {min(extra)!r:.80}, which a {weights.trunk} lacks", OTHER
        )


def _read(
    weights: WeightFile, storages: Storages, expected: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    import torch

    tensors: dict[str, Tensor] = {}
    for name in expected:
        if name.endswith(COUNTER):
            tensors[name] = torch.zeros((), dtype=torch.int64)
            continue
        tensors[name] = _tensor(weights.tensors[name], storages)
        if not bool(torch.isfinite(tensors[name]).all()):
            raise ValueError(f"{name} holds numbers that are not finite")
    return tensors


def _tensor(stored: StoredTensor, storages: Storages) -> Tensor:
    import torch

    dtypes = {
        "F64": torch.float64,
        "F32": torch.float32,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
    }
    data = storages.read(stored.storage)
    if not stored.fits(len(data)):
        raise ValueError("the file changed while it was read")
    whole = len(data) // dtypes[stored.dtype].itemsize
    flat = torch.frombuffer(data, dtype=dtypes[stored.dtype], count=whole)
    view = flat.as_strided(stored.shape, stored.stride, stored.offset)
    return view.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
