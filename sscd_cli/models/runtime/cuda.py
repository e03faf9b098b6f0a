"""What keeps a GPU busy: the next batch goes up while this one is computed, without waiting.

Kernels of a batch shape that keeps coming are captured once in a CUDA graph and replayed, which
spares the hundreds of launches from Python. A graph is used only if it gives what launching them
gives, to the bit; if it cannot be captured, they go on being launched.

Never run on a GPU: written from PyTorch's documentation ("CUDA semantics"), and tested on the CPU
with streams and graphs that are simulated.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = NDArray[np.float32]
Compute = Callable[[Tensor], Tensor]

WARM_UP = 3  # runs of a shape before it is captured, for libraries choose and load kernels first
MOST_GRAPHS = 2  # each holds the activations of a batch


class Lane:
    """The way of batches through one GPU: copied up, computed, copied down, in order."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._graphs: dict[str, Graphs] = {}

    def start(self, compute: Compute, name: str, pixels_B3HW: Tensor) -> Callable[[], Rows]:
        """Begin to compute a batch, and return what waits for its rows.

        Args: name: of `compute`, which stands for the same computation every time. pixels: in
            page-locked memory, or else this waits for them to be copied.
        Raises: torch.OutOfMemoryError: at once, for memory is taken when work is begun.
        """
        with torch.cuda.device(self._device):
            there = self._up(pixels_B3HW)
            rows = self._graphs.setdefault(name, Graphs(compute))(there)
            return self._down(rows)

    def _up(self, pixels_B3HW: Tensor) -> Tensor:
        here = torch.cuda.current_stream()
        with torch.cuda.stream(self._copies):
            there = pixels_B3HW.to(self._device, non_blocking=True)
        here.wait_stream(self._copies)
        there.record_stream(here)  # its memory is given to no other copy before it was computed
        return there.contiguous(memory_format=torch.channels_last)

    def _down(self, rows_BD: Tensor) -> Callable[[], Rows]:
        host = torch.empty(rows_BD.shape, dtype=rows_BD.dtype, pin_memory=rows_BD.is_cuda)
        host.copy_(rows_BD, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record()

        def wait() -> Rows:
            done.synchronize()
            found: Rows = host.numpy()
            return found

        return wait


class Graphs:
    """A computation whose kernels are replayed for the shapes that keep coming."""

    def __init__(self, compute: Compute) -> None:
        self._compute = compute
        self._seen: Counter[torch.Size] = Counter()
        self._captured: dict[torch.Size, _Captured] = {}
        self._gave_up = False

    def __call__(self, pixels_B3HW: Tensor) -> Tensor:
        """Return the rows of a batch; the next call may overwrite them, in the stream's order."""
        shape = pixels_B3HW.shape
        if shape in self._captured:
            return self._captured[shape](pixels_B3HW)
        rows = self._compute(pixels_B3HW)
        self._seen[shape] += 1
        if self._seen[shape] == WARM_UP and len(self._captured) < MOST_GRAPHS:
            self._capture(pixels_B3HW, rows)
        return rows

    def _capture(self, pixels_B3HW: Tensor, rows_BD: Tensor) -> None:
        """Capture a shape, unless that once failed; what fails is said once."""
        if self._gave_up:
            return
        try:
            captured = _Captured(self._compute, pixels_B3HW)
            if torch.equal(captured(pixels_B3HW), rows_BD):
                self._captured[pixels_B3HW.shape] = captured
                return
            reason = "it gives other descriptors"
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
        self._gave_up = True
        warnings.warn(f"embedding without a CUDA graph: {reason}", RuntimeWarning, stacklevel=2)


class _Captured:
    """The kernels of one shape, from memory that stays in place to memory that stays in place."""

    def __init__(self, compute: Compute, pixels_B3HW: Tensor) -> None:
        self._pixels = pixels_B3HW.clone()
        self._graph = torch.cuda.CUDAGraph()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            compute(self._pixels)
        torch.cuda.current_stream().wait_stream(side)
        # another thread page-locks the batches that are on their way, which shall not matter
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._rows = compute(self._pixels)

    def __call__(self, pixels_B3HW: Tensor) -> Tensor:
        self._pixels.copy_(pixels_B3HW)
        self._graph.replay()
        return self._rows
