"""From a model's name to a model that embeds images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sscd_cli.choices import OutputKind
from sscd_cli.errors import UsageError
from sscd_cli.images.decode import load_sized
from sscd_cli.images.opening import upright_rgb
from sscd_cli.images.preprocess import resize
from sscd_cli.models.catalogue.registry import BUNDLED, ModelSpec, find_model
from sscd_cli.models.files.weights import inspect_weights, read_network
from sscd_cli.models.network import Network
from sscd_cli.models.runtime.device import choose_device, choose_precision
from sscd_cli.models.runtime.outputs import width
from sscd_cli.models.runtime.torch_runtime import Runtime

Picture = Image.Image | NDArray[np.uint8] | str | Path


@dataclass(frozen=True)
class Model:
    """A network that is ready to run, and what it is."""

    spec: ModelSpec
    runtime: Runtime

    def embed(
        self,
        images: Sequence[Picture],
        batch_size: int = 32,
        kind: OutputKind = "descriptor",
        *,
        exif: bool | None = None,
    ) -> NDArray[np.float32]:
        """Return one float32 row an image.

        Args: images: Pillow images of any mode, arrays (uint8, (H, W, 3) or (H, W), upright), or
        paths of files. kind: "descriptor", unit length, (N, D); "logits", the same before
        normalisation; or "embedding", the pooled features of the trunk. exif: whether files and
        Pillow images are turned as EXIF says; by default as the model's recipe says.
        Raises: UsageError: another kind. SscdError: a file cannot be read.
        """
        parts = [np.empty((0, width(self.runtime.network, kind)), np.float32)]
        for start in range(0, len(images), batch_size):
            sized = self._sized(images[start : start + batch_size], exif)
            if len({image.shape for image in sized}) == 1:
                parts.append(self.runtime.embed(_pixels(sized), kind))
            else:
                parts.extend(self.runtime.embed(_pixels([image]), kind) for image in sized)
        return np.concatenate(parts)

    def detection_features(self, images: Sequence[Picture]) -> dict[str, NDArray[np.float32]]:
        """Return the feature maps "stage1" to "stage4" of images, float32 (N, C, H, W).

        All images go through the network at once; 3.1 million numbers an image at 320 × 320 for
        a ResNet-50. Raises: UsageError: the recipe leaves them in different sizes.
        """
        sized = self._sized(images)
        if len({image.shape for image in sized}) != 1:
            raise UsageError("feature maps need images of one size", "pass one image at a time")
        return self.runtime.stage_maps(_pixels(sized))

    def _sized(
        self, images: Sequence[Picture], exif: bool | None = None
    ) -> list[NDArray[np.uint8]]:
        recipe = self.spec.recipe
        if exif is not None:
            recipe = replace(recipe, exif=exif)
        return [
            load_sized(str(image), recipe)
            if isinstance(image, str | Path)
            else resize(upright_rgb(image, exif=recipe.exif), recipe)
            for image in images
        ]


def _pixels(images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def load_model(name: str = BUNDLED, *, device: str = "auto", precision: str = "auto") -> Model:
    """Load a model by name or by the path of its file.

    Raises: ModelError: unknown, not installed, or damaged. UsageError: no such device or precision.
    """
    where = choose_device(device)
    chosen = choose_precision(precision, where)
    spec = find_model(name)
    network = read_network(inspect_weights(spec.path))
    runtime = Runtime.of(network, where, "fp32" if chosen == "int8" else chosen)
    if chosen == "int8":
        runtime.precision = _to_int8(spec, network)
    return Model(spec, runtime)


def _to_int8(spec: ModelSpec, network: Network) -> str:
    from sscd_cli.models.runtime.int8 import int8_file, use_int8

    path = int8_file(spec.weights_sha256)
    if path is None:
        what = f"{spec.name} is not calibrated for int8 yet"
        raise UsageError(what, "run sscd embed FOLDER --precision int8 once")
    return use_int8(network, path)
