"""A network in ONNX Runtime: the bundled one in 8 bits, and any `.onnx` file, also on a GPU.

On a CPU one session computes for all threads, each call on the thread that makes it: nobody waits
for a pool, and nothing spins. Nothing of a file runs but operators that ONNX Runtime itself has.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.choices import OUTPUT_KINDS, OutputKind
from sscd_cli.errors import ModelError, UsageError
from sscd_cli.images.preprocess import IMAGENET_MEAN, IMAGENET_STD
from sscd_cli.machines.device import Device
from sscd_cli.models.files.onnx_graph import inspect_onnx, layout_of
from sscd_cli.text import from_json

CPU = Device("cpu")

Rows = NDArray[np.float32]
Wait = Callable[[], Rows]


class OnnxRuntime:
    """Turns uint8 pixels into descriptors, as `torch_runtime.Runtime` does, without torch."""

    lane = None

    def __init__(self, path: Path, precision: str = "onnx", device: Device = CPU) -> None:
        """Load a file. Raises ModelError: it is none, does not run, or takes no images."""
        self.path, self.precision, self.device = path, precision, device
        self.layout = layout_of(inspect_onnx(path))
        self._session = _session(path, device)
        self._outputs = {output.name for output in self._session.get_outputs()}
        self.dimensions = self.layout.dimensions or self._measured()

    def exported_from(self) -> str | None:
        """Return the SHA-256 of the weight file of which this is another form, if it says."""
        try:
            found = from_json(self._session.get_modelmeta().custom_metadata_map["sscd"])
            return str(found["exported_from"])
        except (KeyError, ValueError, TypeError):
            return None

    def embed(self, pixels_BHW3: NDArray[np.uint8], kind: OutputKind = "descriptor") -> Rows:
        """Return float32 descriptors (B, D) of uint8 pixels (B, H, W, 3).

        Raises: UsageError: another output, which the file does not have. ModelError: it fails.
        """
        name = self._name(kind)
        fed = self._fed(pixels_BHW3)
        parts = [fed[i : i + 1] for i in range(len(fed))] if self.layout.single else [fed]
        try:
            rows = [self._session.run([name], {self.layout.input: part})[0] for part in parts]
        except Exception as error:  # of a type for each status, all of them its own
            what = (
                f"{self.path} fails on pictures of {pixels_BHW3.shape[2]} × {pixels_BHW3.shape[1]}"
            )
            line = str(error).strip().partition("\n")[0]
            raise ModelError(f"{what}: {line:.200}", "check the model") from error
        found: Rows = np.concatenate(rows)
        if kind != "descriptor":
            return found
        lengths = np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        unit: Rows = found / lengths
        return unit

    def start(self, pixels_BHW3: NDArray[np.uint8], kind: OutputKind = "descriptor") -> Wait:
        """As `embed`; the rows are there already."""
        rows = self.embed(pixels_BHW3, kind)
        return lambda: rows

    @contextmanager
    def shared_by(self, threads: int) -> Iterator[Callable[[], None]]:
        """Hold what each of so many threads calls first: nothing, for each has its own core."""
        yield lambda: None

    def width(self, kind: OutputKind) -> int:
        """Return the numbers in a row of that kind. Raises: as `embed`."""
        if kind == "descriptor":
            return self.dimensions
        name = self._name(kind)
        shape = next(port.shape for port in self._session.get_outputs() if port.name == name)
        return int(shape[1])

    def stage_maps(self, pixels_BHW3: NDArray[np.uint8]) -> dict[str, Rows]:
        """Raise UsageError: an ONNX file has no feature maps."""
        raise UsageError(f"{self.path} gives no feature maps", "load a weight file")

    def _name(self, kind: OutputKind) -> str:
        if kind not in OUTPUT_KINDS:
            raise UsageError(f"unknown output kind {kind!r}", f"use {', '.join(OUTPUT_KINDS)}")
        name = self.layout.output if kind == "descriptor" else kind
        if name not in self._outputs:
            raise UsageError(f"{self.path} gives no {kind}", "use a weight file, or descriptors")
        return name

    def _fed(self, pixels_BHW3: NDArray[np.uint8]) -> NDArray[Any]:
        pixels: NDArray[Any] = np.asarray(pixels_BHW3)  # beside a GPU they come as a tensor
        if not self.layout.raw:
            mean, std = (np.array(c, np.float32) for c in (IMAGENET_MEAN, IMAGENET_STD))
            pixels = (pixels.astype(np.float32) / 255 - mean) / std
        if not self.layout.channels_last:
            pixels = pixels.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(pixels)

    def _measured(self) -> int:
        side = self.layout.side or 224
        self.dimensions = 0
        return int(self.embed(np.zeros((1, side, side, 3), np.uint8)).shape[1])


def _session(path: Path, device: Device) -> Any:
    onnxruntime = onnx_library()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda":
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    try:
        # falling back it prints to stdout
        session = onnxruntime.InferenceSession(path, options, providers, enable_fallback=0)
    except Exception as error:  # of a type for each status, all of them its own
        line = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"ONNX Runtime cannot load {path}: {line:.200}", "check the model"
        ) from error
    if device.type == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        what = f"ONNX Runtime cannot compute on {device}: its CUDA libraries do not load"
        raise ModelError(what, "install those that onnxruntime-gpu names, or use --device cpu")
    return session


def onnx_library() -> Any:
    """Return the package `onnxruntime`, which sends no word of its use to anyone.

    Its official builds report models and speed to their maker and keep a number of the machine
    below the cache folder, unless a variable of the environment says no before they are loaded.
    Raises: ImportError: it is not installed.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    # for a program that had loaded it before us
    onnxruntime.disable_telemetry_events()
    return onnxruntime
