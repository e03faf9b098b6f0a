"""From a model's name to a model that embeds images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sscd_cli.images.preprocess import resize
from sscd_cli.models.device import choose_device, choose_precision
from sscd_cli.models.registry import BUNDLED, ModelSpec, find_model
from sscd_cli.models.runtime import Runtime
from sscd_cli.models.weights import inspect_weights, read_network


@dataclass(frozen=True)
class Model:
    """A network that is ready to run, and what it is."""

    spec: ModelSpec
    runtime: Runtime

    def embed(self, images: Sequence[Image.Image], batch_size: int = 32) -> NDArray[np.float32]:
        """Return float32 descriptors (N, D) of unit length of RGB images of any size."""
        parts = [np.empty((0, self.spec.dimensions), np.float32)]
        for start in range(0, len(images), batch_size):
            sized = [
                resize(image, self.spec.recipe) for image in images[start : start + batch_size]
            ]
            if len({image.size for image in sized}) == 1:
                parts.append(self._embed(sized))
            else:
                parts.extend(self._embed([image]) for image in sized)
        return np.concatenate(parts)

    def _embed(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
        return self.runtime.embed(pixels.permute(0, 3, 1, 2))


def load_model(name: str = BUNDLED, *, device: str = "auto", precision: str = "auto") -> Model:
    """Load a model by name or by the path of its file.

    Raises: ModelError: unknown, not installed, or damaged. UsageError: no such device or precision.
    """
    where = choose_device(device)
    chosen = choose_precision(precision, where)
    spec = find_model(name)
    network = read_network(inspect_weights(spec.path))
    return Model(spec, Runtime.of(network, where, chosen))
