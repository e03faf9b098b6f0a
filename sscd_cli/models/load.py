"""From a model's name to a model that embeds images. Loads torch only for what needs it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from sscd_cli.choices import OutputKind
from sscd_cli.errors import ModelError, SscdError, SscdWarning, UsageError
from sscd_cli.machines.device import Device, choose_device, choose_precision
from sscd_cli.machines.hardware import core_count, has_int8, memory_bytes
from sscd_cli.machines.stages import stage
from sscd_cli.machines.threads import in_order
from sscd_cli.models.catalogue.registry import (
    BUNDLED,
    BUNDLED_FILE,
    BUNDLED_INT8,
    ModelSpec,
    find_model,
)
from sscd_cli.models.pictures import Descriptors, Numbered, Picture, batches, is_one, sized
from sscd_cli.models.runtime.onnx_runtime import OnnxRuntime, onnx_library
from sscd_cli.text import counted

if TYPE_CHECKING:
    from sscd_cli.models.runtime.torch_runtime import Runtime

    AnyRuntime = Runtime | OnnxRuntime


@dataclass(frozen=True)
class Model:
    """A network that is ready to run, and what it is."""

    spec: ModelSpec
    runtime: AnyRuntime

    def __repr__(self) -> str:
        width, runtime = self.spec.dimensions, self.runtime
        return f"Model({self.spec.name}, {width} dimensions, {runtime.device}, {runtime.precision})"

    def embed(
        self,
        images: Picture | Iterable[Picture],
        batch_size: int = 32,
        kind: OutputKind = "descriptor",
        *,
        exif: bool | None = None,
        strict: bool = False,
        progress: bool = False,
    ) -> Descriptors:
        """Return one float32 row an image, (N, D); of one image by itself its row, (D,).

        An image that cannot be read has a row of NaN, and a warning says why.

        Args: images: Pillow images of any mode, arrays (uint8, (H, W, 3) or (H, W), upright),
        tensors (uint8 or real in [0, 1], (3, H, W) or (1, H, W)), bytes of files, or paths of
        files; one, a list, a generator (drawn as it is needed), an array (N, H, W, 3), or a tensor
        (N, 3, H, W). kind: "descriptor", unit length; "logits", the same before normalisation; or
        "embedding", the pooled features of the trunk. exif: whether files and Pillow images are
        turned as EXIF says; by default as the model's recipe says. strict: refuse what cannot be
        read. progress: show a bar, of a notebook's own kind in a notebook.
        Raises: UsageError: another kind. TypeError: what is no image. SscdError: with `strict`.
        """
        if is_one(images):
            row: Descriptors = self.embed([images], 1, kind, exif=exif, strict=strict)[0]
            return row
        several = cast("Iterable[Picture]", images)
        width = self.runtime.width(kind)
        parts = [np.empty((0, width), np.float32)]
        faults: list[tuple[int, str]] = []
        parts += self._each(
            lambda some: self._rows(some, width, kind, exif, None if strict else faults),
            batches(_watched(several) if progress else several, batch_size),
        )
        if faults:
            number, reason = min(faults)
            what = f"{counted(len(faults), 'images')} cannot be read, which gives rows of NaN"
            warnings.warn(f"{what}: number {number}: {reason}", SscdWarning, stacklevel=2)
        rows = np.concatenate(parts).view(Descriptors)
        rows.made_by = f"{self.spec.name} (weights {self.spec.weights_sha256[:12]})"
        return rows

    def _rows(
        self,
        images: Sequence[Numbered],
        width: int,
        kind: OutputKind,
        exif: bool | None,
        faults: list[tuple[int, str]] | None,
    ) -> NDArray[np.float32]:
        """Return the rows of a batch; of what cannot be read it notes why, or raises SscdError."""
        recipe = self.spec.recipe if exif is None else replace(self.spec.recipe, exif=exif)
        seen: dict[int, NDArray[np.uint8]] = {}
        for place, (number, image) in enumerate(images):
            try:
                seen[place] = sized(image, recipe)
            except SscdError as error:
                if faults is None:
                    raise
                faults.append((number, error.what))
        rows = np.full((len(images), width), np.nan, np.float32)
        pictures = list(seen.values())
        if len({picture.shape for picture in pictures}) == 1:
            rows[list(seen)] = self.runtime.embed(np.stack(pictures), kind)
        else:
            for place, picture in seen.items():
                rows[place] = self.runtime.embed(picture[None], kind)[0]
        return rows

    def _each(
        self,
        rows: Callable[[list[Numbered]], NDArray[np.float32]],
        batches: Iterator[list[Numbered]],
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the rows of each batch; on a CPU each of several has a core of its own.

        Threads that share a batch wait for each other layer by layer, and beside other programs
        nearly all the time.
        """
        first = list(islice(batches, 2))
        if len(first) < 2:
            yield from map(rows, first)
            return
        with self.on_all_cores() as each:
            yield from each(rows, chain(first, batches))

    @contextmanager
    def on_all_cores(self, bytes_each: int = 1) -> Iterator[Callable[..., Iterator[Any]]]:
        """Yield a `map` that works on things at the same time, each on a core of its own.

        What comes of them keeps their order, and no more are drawn than are worked on. Beside a
        GPU it is `map` itself. bytes_each: what work on one takes; all together take no more than
        half of the memory.
        """
        most = min(core_count(), memory_bytes() // 2 // max(1, bytes_each))
        threads = most if self.runtime.device.type == "cpu" else 1
        if threads < 2:
            yield map
            return
        with (
            self.runtime.shared_by(threads) as begin,
            ThreadPoolExecutor(threads, initializer=begin) as pool,
        ):
            yield partial(in_order, pool, threads)

    def detection_features(self, images: Sequence[Picture]) -> dict[str, NDArray[np.float32]]:
        """Return the feature maps "stage1" to "stage4" of images, float32 (N, C, H, W).

        All images go through the network at once; 3.1 million numbers an image at 320 × 320 for
        a ResNet-50. Raises: UsageError: the recipe leaves them in different sizes.
        """
        pixels = [sized(image, self.spec.recipe) for image in images]
        if len({image.shape for image in pixels}) != 1:
            raise UsageError("feature maps need images of one size", "pass one image at a time")
        runtime = self.runtime
        if self.spec.path == BUNDLED_FILE and isinstance(runtime, OnnxRuntime):
            runtime = _torch_runtime(self.spec, Device("cpu"), "auto")
        return runtime.stage_maps(np.stack(pixels))


def _watched(images: Iterable[Picture]) -> Iterable[Picture]:
    from tqdm.auto import tqdm

    watched: Iterable[Picture] = tqdm(images, unit=" images")
    return watched


def load_model(
    name: str = BUNDLED, *, device: str = "auto", precision: str = "auto", recipe: str = ""
) -> Model:
    """Load a model by name or by the path of its file.

    recipe: how images are prepared, "small-288" or "skew-320" or so, for a file that does not say.

    On a CPU that multiplies bytes in hardware the bundled model runs in 8 bits unless another
    precision is asked for.
    Raises: ModelError: unknown, not installed, or damaged. UsageError: no such device, precision
    or recipe, or the model has a recipe of its own.
    """
    with stage("loading the network"):
        return _loaded(name, device, precision, recipe)


def _loaded(name: str, device: str, precision: str, recipe: str) -> Model:
    where = choose_device(device)
    chosen = choose_precision(precision, where)
    spec = find_model(name, recipe)
    if spec.trunk == "onnx":
        if precision != "auto":
            raise UsageError(f"{spec.path} has a precision of its own", "use --precision auto")
        return Model(spec, OnnxRuntime(spec.path, device=_onnx_device(device, where)))
    in_bytes = chosen == "int8" or (precision == "auto" and where.type == "cpu" and has_int8())
    if in_bytes and spec.path == BUNDLED_FILE and BUNDLED_INT8.is_file():
        return Model(spec, _bundled_runtime(spec))
    if chosen == "int8":
        what = f"{spec.name} is a file of floating-point weights"
        fix = f"run `sscd models quantise {name} FOLDER -o FILE.onnx` and use that file"
        raise UsageError(what, fix)
    return Model(spec, _torch_runtime(spec, where, chosen))


def _onnx_device(asked: str, where: Device) -> Device:
    """Return where ONNX Runtime computes: on the GPU if its build can, else on the CPU."""
    if where.type == "cpu" or "CUDAExecutionProvider" in onnx_library().get_available_providers():
        return where
    if asked == "auto":
        return Device("cpu")
    raise UsageError(
        f"the onnxruntime installed here does not compute on {asked}",
        "run `pip install onnxruntime-gpu`, or use --device cpu",
    )


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
