"""A network made ready: on its device, in its precision, as fast as that allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sscd_cli.choices import OUTPUT_KINDS, OutputKind
from sscd_cli.errors import UsageError
from sscd_cli.machines.hardware import core_count
from sscd_cli.models.network import Network, gem
from sscd_cli.models.runtime.cuda import Lane
from sscd_cli.models.runtime.fused import fuse
from sscd_cli.models.trunks import Block

Pixels = Tensor | NDArray[np.uint8]
Wait = Callable[[], NDArray[np.float32]]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Runtime:
    """Turns uint8 pixels into descriptors.

    `largest_batch` starts unbounded and halves whenever the device runs out of memory. `lane`
    is the GPU's, if it runs on one.
    """

    network: Network
    device: torch.device
    precision: str
    largest_batch: int = 1 << 30
    lane: Lane | None = None

    @classmethod
    def of(cls, network: Network, device: torch.device, precision: str) -> Runtime:
        """Prepare `network` in place: batch norm folded, channels last, trunk in `precision`.

        On a CPU convolutions are fused, too, so that it can no longer be traced or exported.
        """
        fold_batch_norm(network.eval())
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d) and name:
                module.to(DTYPES[precision])
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.requires_grad_(False)
        if device.type == "cpu":
            fuse(network)
        return cls(network, device, precision, lane=Lane(device) if device.type == "cuda" else None)

    def embed(self, pixels: Pixels, kind: OutputKind = "descriptor") -> NDArray[np.float32]:
        """Return float32 descriptors (B, D), or another output, of uint8 pixels.

        pixels: an array (B, H, W, 3) or a tensor (B, 3, H, W).
        Raises: torch.OutOfMemoryError: one single image does not fit the device.
        """
        return self.start(pixels, kind)()

    def start(self, pixels: Pixels, kind: OutputKind = "descriptor") -> Wait:
        """Begin what `embed` does, and return what waits for its rows; on a CPU they are there.

        Raises: as `embed`.
        """
        pixels_B3HW = _tensor(pixels)
        parts: list[Wait] = []
        start = 0
        while start < len(pixels_B3HW):
            batch = pixels_B3HW[start : start + self.largest_batch]
            part = self._start_or_none(batch, kind)
            if part is None:
                self.largest_batch = len(batch) // 2
                torch.cuda.empty_cache()
            else:
                parts.append(part)
                start += len(batch)
        return lambda: np.concatenate([wait() for wait in parts])

    def _start_or_none(self, pixels_B3HW: Tensor, kind: OutputKind) -> Wait | None:
        """Return None when memory ran out; it is free again only when the error is forgotten."""
        try:
            return self._start(pixels_B3HW, kind)
        except torch.OutOfMemoryError:
            if len(pixels_B3HW) == 1:
                raise
            return None

    @torch.inference_mode()
    def _start(self, pixels_B3HW: Tensor, kind: OutputKind) -> Wait:
        of_kind = partial(compute, self.network, kind=kind)
        if self.lane:
            return self.lane.start(of_kind, kind, pixels_B3HW)
        rows: NDArray[np.float32] = of_kind(self._there(pixels_B3HW)).numpy()
        return lambda: rows

    def width(self, kind: OutputKind) -> int:
        """Return the numbers in a row of that kind."""
        fc = self.network.fc
        return fc.in_features if kind == "embedding" else fc.out_features

    @contextmanager
    def shared_by(self, threads: int) -> Iterator[Callable[[], None]]:
        """Hold what each of so many threads calls first, to take its share of the cores."""
        before = torch.get_num_threads()
        try:
            yield partial(torch.set_num_threads, max(1, core_count() // threads))
        finally:
            torch.set_num_threads(before)

    @torch.inference_mode()
    def stage_maps(self, pixels: Pixels) -> dict[str, NDArray[np.float32]]:
        """Return the float32 feature maps of the four stages, see the function `stage_maps`."""
        maps = stage_maps(self.network, self._there(_tensor(pixels)))
        return {name: value.contiguous().cpu().numpy() for name, value in maps.items()}

    def _there(self, pixels_B3HW: Tensor) -> Tensor:
        pixels = pixels_B3HW.to(self.device, non_blocking=True)
        return pixels.contiguous(memory_format=torch.channels_last)


def _tensor(pixels: Pixels) -> Tensor:
    if isinstance(pixels, Tensor):
        return pixels
    if not pixels.flags.writeable:  # torch warns of what it could not write to
        pixels = pixels.copy()
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def fold_batch_norm(network: Network) -> None:
    """Merge every batch norm into the convolution before it, in place; evaluation mode only."""
    _fold(network, "conv1", "bn1")
    for block in network.modules():
        if isinstance(block, Block):
            for conv, norm in block.parts:
                _fold(block, conv, norm)
            if block.downsample is not None:
                _fold(block.downsample, "0", "1")


def _fold(module: nn.Module, conv: str, norm: str) -> None:
    before = cast(nn.Conv2d, module.get_submodule(conv))
    setattr(module, conv, fuse_conv_bn_eval(before, cast(nn.BatchNorm2d, getattr(module, norm))))
    setattr(module, norm, nn.Identity())


def compute(network: Network, pixels_B3HW: Tensor, kind: OutputKind = "descriptor") -> Tensor:
    """Return one float32 row an image.

    "descriptor" is (B, D) of unit length; "logits" the same before normalisation, what Birder's
    `net(x)` gives; "embedding" the GeM-pooled features, (B, C), what Birder's `embedding` gives.
    Raises: UsageError: no such kind.
    """
    if kind not in OUTPUT_KINDS:
        raise UsageError(f"unknown output kind {kind!r}", f"use {', '.join(OUTPUT_KINDS)}")
    if kind == "descriptor":
        return cast(Tensor, network(pixels_B3HW))
    maps = network.features(pixels_B3HW)
    with torch.autocast(maps.device.type, enabled=False):
        pooled = gem(maps.float())
        return pooled if kind == "embedding" else cast(Tensor, network.fc(pooled))


def stage_maps(network: Network, pixels_B3HW: Tensor) -> dict[str, Tensor]:
    """Return the feature maps after each stage, float32, channels first.

    "stage1" to "stage4", at strides 4, 8, 16 and 32; a ResNet-50 and 320 × 320 pixels give
    256×80×80, 512×40×40, 1024×20×20 and 2048×10×10.
    """
    x = network.stem(pixels_B3HW)
    maps = {}
    for number, stage in enumerate(
        (network.layer1, network.layer2, network.layer3, network.layer4), start=1
    ):
        x = stage(x)
        maps[f"stage{number}"] = x.float()
    return maps
