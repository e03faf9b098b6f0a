"""From a model's name to a model that embeds images. Loads torch only for what needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sscd_cli.choices import OutputKind
from sscd_cli.errors import ModelError, UsageError
from sscd_cli.images.decode import load_sized
from sscd_cli.images.opening import upright_rgb
from sscd_cli.images.preprocess import resize
from sscd_cli.machines.hardware import core_count, has_int8
from sscd_cli.models.catalogue.registry import (
    BUNDLED,
    BUNDLED_FILE,
    BUNDLED_INT8,
    ModelSpec,
    find_model,
)
from sscd_cli.models.runtime.device import Device, choose_device, choose_precision
from sscd_cli.models.runtime.onnx_runtime import OnnxRuntime

if TYPE_CHECKING:
    from sscd_cli.models.runtime.torch_runtime import Runtime

    AnyRuntime = Runtime | OnnxRuntime

Picture = Image.Image | NDArray[np.uint8] | str | Path


@dataclass(frozen=True)
class Model:
    """A network that is ready to run, and what it is."""

    spec: ModelSpec
    runtime: AnyRuntime

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
        starts = range(0, len(images), batch_size)
        parts = [np.empty((0, self.runtime.width(kind)), np.float32)]
        parts += self._each(
            lambda start: self._rows(images[start : start + batch_size], kind, exif), starts
        )
        return np.concatenate(parts)

    def _rows(
        self, images: Sequence[Picture], kind: OutputKind, exif: bool | None
    ) -> NDArray[np.float32]:
        sized = self._sized(images, exif)
        if len({image.shape for image in sized}) == 1:
            return self.runtime.embed(np.stack(sized), kind)
        return np.concatenate([self.runtime.embed(image[None], kind) for image in sized])

    def _each(
        self, rows: Callable[[int], NDArray[np.float32]], starts: Sequence[int]
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the rows from each start on; ONNX Runtime's way has a thread a core."""
        threads = min(core_count(), len(starts))
        if threads < 2 or not isinstance(self.runtime, OnnxRuntime):
            yield from map(rows, starts)
            return
        with ThreadPoolExecutor(threads) as pool:
            yield from pool.map(rows, starts)

    def detection_features(self, images: Sequence[Picture]) -> dict[str, NDArray[np.float32]]:
        """Return the feature maps "stage1" to "stage4" of images, float32 (N, C, H, W).

        All images go through the network at once; 3.1 million numbers an image at 320 × 320 for
        a ResNet-50. Raises: UsageError: the recipe leaves them in different sizes.
        """
        sized = self._sized(images)
        if len({image.shape for image in sized}) != 1:
            raise UsageError("feature maps need images of one size", "pass one image at a time")
        runtime = self.runtime
        if self.spec.path == BUNDLED_FILE and isinstance(runtime, OnnxRuntime):
            runtime = _torch_runtime(self.spec, Device("cpu"), "auto")
        return runtime.stage_maps(np.stack(sized))

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


def load_model(name: str = BUNDLED, *, device: str = "auto", precision: str = "auto") -> Model:
    """Load a model by name or by the path of its file.

    On a CPU that multiplies bytes in hardware the bundled model runs in 8 bits unless another
    precision is asked for.
    Raises: ModelError: unknown, not installed, or damaged. UsageError: no such device or precision.
    """
    where = choose_device(device)
    chosen = choose_precision(precision, where)
    spec = find_model(name)
    if spec.trunk == "onnx":
        return Model(spec, _onnx_runtime(spec, device, precision))
    in_bytes = chosen == "int8" or (precision == "auto" and where.type == "cpu" and has_int8())
    if in_bytes and spec.path == BUNDLED_FILE and BUNDLED_INT8.is_file():
        return Model(spec, _bundled_runtime(spec))
    if chosen == "int8":
        what = f"{spec.name} is a file of floating-point weights"
        fix = f"run `sscd models quantise {name} FOLDER -o FILE.onnx` and use that file"
        raise UsageError(what, fix)
    return Model(spec, _torch_runtime(spec, where, chosen))


def _onnx_runtime(spec: ModelSpec, device: str, precision: str) -> OnnxRuntime:
    if device not in ("auto", "cpu"):
        raise UsageError(f"{spec.path} runs on the CPU", "use --device cpu")
    if precision != "auto":
        raise UsageError(f"{spec.path} has a precision of its own", "use --precision auto")
    return OnnxRuntime(spec.path)


def _bundled_runtime(spec: ModelSpec) -> OnnxRuntime:
    runtime = OnnxRuntime(BUNDLED_INT8, "int8")
    if runtime.exported_from() != spec.weights_sha256:
        raise ModelError(f"{BUNDLED_INT8} is not of {spec.path}", "install sscd-cli again")
    return runtime


def _torch_runtime(spec: ModelSpec, device: Device, precision: str) -> Runtime:
    import torch

    from sscd_cli.models.files.weights import inspect_weights, read_network
    from sscd_cli.models.runtime.torch_runtime import Runtime

    network = read_network(inspect_weights(spec.path))
    where = torch.device(str(device))
    return Runtime.of(network, where, choose_precision(precision, device))
