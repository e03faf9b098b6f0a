"""A model as one file that loads without us, checked to give the same descriptors.

"torchvision" and "torchscript" are written as the official files are: the same names, and a trace
that takes normalised floats (B, 3, H, W) and gives unit-length descriptors (B, D). "onnx" takes and
gives the same. All but "torchvision", whose format has no room for it, say what they are in a text
called `sscd`: a JSON object with the model's name, preprocessing, threshold and licence.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from sscd_cli.errors import ModelError, UsageError, cannot_write
from sscd_cli.images.preprocess import RECIPES, Recipe
from sscd_cli.models.catalogue.registry import ASSUMED, ModelSpec, find_model
from sscd_cli.models.files.onnx_file import run_onnx, save_onnx
from sscd_cli.models.files.safetensors_file import notes_of, save_network
from sscd_cli.models.files.weights import inspect_weights, read_network
from sscd_cli.models.network import Network, gem
from sscd_cli.storage.files import ANOTHER, output_file

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    difference: the largest one between a number of its descriptors and of the model's, at most
    `TOLERANCE`. lost: the preprocessing that readers of the file must know and it cannot say.
    """

    difference: float
    lost: Recipe | None


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


def export_model(name: str, path: Path, format: str) -> Exported:
    """Write the model called `name` to `path`, completely or not at all.

    format: a key of `FORMATS`.
    Raises: UsageError: no such format. ModelError: unknown model; the written file differs; a
    package that the format needs is missing. SscdError: the file cannot be written.
    """
    if format not in FORMATS:
        raise UsageError(f"cannot export as {format!r}", f"use one of {', '.join(FORMATS)}")
    spec = find_model(name)
    if spec.trunk == "onnx":
        raise UsageError(f"{name} is an ONNX file already", "name a weight file")
    network = read_network(inspect_weights(spec.path))
    write, run = FORMATS[format]
    try:
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder, "model")
            write(network, spec, made)
            difference = _difference(network, spec.recipe, lambda pixels: run(made, pixels))
            if not difference <= TOLERANCE:
                what = f"the exported file differs by {difference:.1e} from {name}"
                raise ModelError(what, "report it as a bug")
            with made.open("rb") as file, output_file(path) as output:
                shutil.copyfileobj(file, output)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise cannot_write(path, error, ANOTHER, ModelError) from error
    assumed = spec.recipe == RECIPES[ASSUMED]
    return Exported(difference, None if assumed or format != "torchvision" else spec.recipe)


@torch.inference_mode()
def _difference(network: Network, recipe: Recipe, run: Callable[[Tensor], Tensor]) -> float:
    """Compare descriptors of noise in the sizes that the recipe makes of two formats of photo."""
    generator = torch.Generator().manual_seed(0)
    worst = []
    for batch, photo in ((1, (400, 300)), (2, (300, 350))):
        width, height = recipe.size_of(*photo)
        pixels = torch.randint(0, 256, (batch, 3, height, width), generator=generator)
        found = run((pixels.float() / 255 - network.mean) / network.std)
        worst.append((found - network(pixels)).abs().max())
    return float(torch.stack(worst).max())


def notes_for(network: Network, spec: ModelSpec) -> dict[str, str]:
    """Return what a file of another format says of the model that it holds."""
    return notes_of(network, _metadata(spec))


def _metadata(spec: ModelSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "preprocessing": asdict(spec.recipe),
        **({} if spec.threshold is None else {"threshold": _threshold(spec)}),
        "licence": spec.licence,
        "exported_from": spec.weights_sha256,
    }


def _threshold(spec: ModelSpec) -> dict[str, Any]:
    """Return what the file states, as `catalogue.registry` reads it."""
    shown = {} if spec.look_at is None else {"look_at": spec.look_at}
    return {"value": spec.threshold, **shown, "source": spec.threshold_source}


def _torchvision(network: Network, spec: ModelSpec, path: Path) -> None:
    state = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    memory = io.BytesIO()
    torch.save(state, memory)
    path.write_bytes(memory.getbuffer())


def _safetensors(network: Network, spec: ModelSpec, path: Path) -> None:
    save_network(path, network, _metadata(spec))


def _onnx(network: Network, spec: ModelSpec, path: Path) -> None:
    side = spec.recipe.size if spec.recipe.square else None
    save_onnx(path, network, notes_for(network, spec), side)


def _torchscript(network: Network, spec: ModelSpec, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit works, and says it is old
        example = torch.zeros(1, 3, 64, 64)
        traced = torch.jit.trace(_Traceable(network).eval(), example)  # type: ignore[no-untyped-call]
        memory = io.BytesIO()  # on a full disk torch's own writer ends the process
        torch.jit.save(traced, memory, _extra_files=notes_for(network, spec))
    path.write_bytes(memory.getbuffer())


def _run_torchscript(path: Path, pixels_B3HW: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # its code may run: it was written a moment ago, by `_torchscript`
        return cast(Tensor, torch.jit.load(path)(pixels_B3HW))  # type: ignore[no-untyped-call]


def _run_tensors(path: Path, pixels_B3HW: Tensor) -> Tensor:
    return cast(Tensor, _Traceable(read_network(inspect_weights(path)))(pixels_B3HW))


Writer = Callable[[Network, ModelSpec, Path], None]
# how each format is written, and what a file of it makes of normalised pixels
FORMATS: dict[str, tuple[Writer, Callable[[Path, Tensor], Tensor]]] = {
    "torchvision": (_torchvision, _run_tensors),
    "torchscript": (_torchscript, _run_torchscript),
    "onnx": (_onnx, run_onnx),
    "safetensors": (_safetensors, _run_tensors),
}
