"""A model as one file that loads without us, checked to give the same descriptors.

"torchvision" and "torchscript" are written as the official files are: the same names, and a trace
that takes normalised floats (B, 3, H, W) and gives unit-length descriptors (B, D).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from sscd_cli.errors import ModelError, UsageError
from sscd_cli.models.network import Network, gem
from sscd_cli.models.registry import ModelSpec, find_model
from sscd_cli.models.safetensors_file import save_network
from sscd_cli.models.weights import inspect_weights, read_network

TOLERANCE = 1e-5


class _Traceable(nn.Module):
    """The network as the official TorchScript files have it: normalised pixels in."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        # only the parts that hold tensors of the official files, under their names
        self.backbone = nn.Sequential()
        for name, part in network.named_children():
            self.backbone.add_module(name, part)

    def forward(self, x_B3HW: Tensor) -> Tensor:
        *trunk, projection = self.backbone
        for part in trunk:
            x_B3HW = part(x_B3HW)
        return F.normalize(projection(gem(x_B3HW)))


def export_model(name: str, path: Path, format: str) -> float:
    """Write the model called `name` to `path`, completely or not at all.

    format: a key of `WRITERS`. Returns the largest difference between a descriptor of the written
    file and of the model, at most `TOLERANCE`.
    Raises: UsageError: no such format. ModelError: unknown model; the written file differs.
    """
    if format not in WRITERS:
        raise UsageError(f"cannot export as {format!r}", f"use one of {', '.join(WRITERS)}")
    spec = find_model(name)
    network = read_network(inspect_weights(spec.path))
    if not path.name or path.is_dir() or not path.parent.is_dir():
        raise ModelError(f"cannot write {path}: no file can be there", "name another file with -o")
    part = path.with_name(f".{path.name}.part")
    try:
        WRITERS[format](network, spec, part)
        difference = _difference(network, part)
        if not difference <= TOLERANCE:
            raise ModelError(
                f"the exported file differs by {difference:.1e} from {name}", "report it as a bug"
            )
        part.replace(path)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"cannot write {path}: {error}", "name another file with -o") from error
    finally:
        part.unlink(missing_ok=True)
    return difference


@torch.inference_mode()
def _difference(network: Network, path: Path) -> float:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, 3, 96, 128), generator=generator, dtype=torch.uint8)
    written = read_network(inspect_weights(path))
    # the file may hold no statistics; those who load it normalise with the model's own
    written.mean, written.std = network.mean, network.std
    return float((written(pixels) - network(pixels)).abs().max())


def _torchvision(network: Network, spec: ModelSpec, path: Path) -> None:
    torch.save({f"backbone.{name}": value for name, value in network.state_dict().items()}, path)


def _torchscript(network: Network, spec: ModelSpec, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit works, and says it is old
        example = torch.zeros(1, 3, 64, 64)
        traced = torch.jit.trace(_Traceable(network).eval(), example)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, path)


def _safetensors(network: Network, spec: ModelSpec, path: Path) -> None:
    story = {
        "name": spec.name,
        "preprocessing": asdict(spec.recipe),
        "threshold": {"value": spec.threshold, "source": spec.threshold_source},
        "exported_from": spec.weights_sha256,
    }
    save_network(path, network, story)


WRITERS: dict[str, Callable[[Network, ModelSpec, Path], None]] = {
    "torchvision": _torchvision,
    "torchscript": _torchscript,
    "safetensors": _safetensors,
}
