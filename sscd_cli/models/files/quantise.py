"""A weight file as one ONNX file in 8 bits, made once from some pictures and checked."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray

from sscd_cli.errors import ModelError, NoImagesError, UsageError
from sscd_cli.images.decode import Decoded, decode
from sscd_cli.images.sources import iter_images
from sscd_cli.machines.stages import each, stage
from sscd_cli.models.catalogue.registry import find_model
from sscd_cli.models.files.export import notes_for
from sscd_cli.models.files.onnx_file import save_onnx
from sscd_cli.models.files.onnx_int8 import quantise_onnx
from sscd_cli.models.files.weights import inspect_weights, read_network
from sscd_cli.models.network import Network
from sscd_cli.models.runtime.onnx_runtime import OnnxRuntime
from sscd_cli.storage.files import output_file

IMAGES = 200
MOST_LISTED = 100_000
LEAST_COSINE = 0.98


@dataclass(frozen=True)
class Quantised:
    """A file that was written: its bytes, from how many pictures, and how near it is.

    cosine: the mean one between its descriptors of the pictures and those of the weights.
    """

    bytes: int
    images: int
    cosine: float


def quantise_model(name: str, sample: str, path: Path) -> Quantised:
    """Write the model called `name` in 8 bits to `path`, completely or not at all.

    It decodes fast from then on: that changes descriptors by less than the 8 bits do.
    sample: a source of pictures as the model will meet them. Raises: ModelError: unknown model;
    its descriptors change too much; a package is missing. UsageError: it takes pictures of many
    sizes, or is in ONNX already. NoImagesError: none is readable. SscdError: the file cannot be
    written.
    """
    spec = find_model(name)
    if spec.trunk == "onnx":
        raise UsageError(f"{name} is an ONNX file already", "name a weight file")
    if not spec.recipe.square:
        raise UsageError(f"{spec.name} takes pictures of many sizes", "name one that takes squares")
    spec = replace(spec, recipe=replace(spec.recipe, decode="fast"))
    refs = list(islice(iter_images([sample]), MOST_LISTED))
    Random(0).shuffle(refs)
    chosen = refs[:IMAGES]
    rows = [decode(ref, spec.recipe) for ref in each(chosen, "reading images", len(chosen))]
    images = [r.pixels for r in rows if isinstance(r, Decoded) and r.pixels is not None]
    if not images:
        raise NoImagesError(f"no readable images in {sample}", "name a folder of images")
    pixels = np.stack(images)
    network = read_network(inspect_weights(spec.path))
    with tempfile.TemporaryDirectory() as folder:
        exact, small = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        notes = notes_for(network, spec)
        save_onnx(exact, network, notes, spec.recipe.size, centred=True)
        quantise_onnx(exact, small, pixels)
        with stage("comparing descriptors"):
            cosine = _cosine(network, OnnxRuntime(small), pixels)
        if not cosine >= LEAST_COSINE:
            what = f"in 8 bits {spec.name} gives other descriptors (mean cosine {cosine:.3f})"
            raise ModelError(what, "name pictures like those that it will meet")
        with small.open("rb") as file, output_file(path) as output:
            shutil.copyfileobj(file, output)
    return Quantised(path.stat().st_size, len(pixels), cosine)


def _cosine(network: Network, small: OnnxRuntime, pixels_NHW3: NDArray[np.uint8]) -> float:
    starts = range(0, len(pixels_NHW3), 16)
    same = []
    for batch in (pixels_NHW3[start : start + 16] for start in starts):
        exact = network.embed(torch.from_numpy(batch).permute(0, 3, 1, 2))
        same.append((exact * small.embed(batch)).sum(axis=1))
    return float(np.concatenate(same).mean())
