"""From images to descriptors, with every core at work.

On a CPU each worker is a thread that takes some images all the way, from reading to the network,
on its own share of the cores: nothing is handed over, and no core waits for another. Beside a GPU
workers are processes that decode ahead of it, for Python itself is too slow there.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from sscd_cli.choices import OutputKind
from sscd_cli.embedding.loader import Batch, Decoder, Lists, Row, load_batches
from sscd_cli.images.refs import ImageRef
from sscd_cli.machines.hardware import core_count
from sscd_cli.models.load import Model

# more is no faster on the CPUs measured, nor is half of it slower for a large network
CPU_BATCH = 16
GPU_BATCH = 128
MOST_THREADS = 8  # each holds the activations of a batch
AHEAD = 2  # lists of images that wait for each thread


@dataclass(frozen=True)
class Embedded:
    """Some consecutive images.

    rows: in the order of the sources. descriptors: (D,) float32 by index into `rows`, for each
    image that was decoded. seconds: spent on "read", "decode" and "network".
    """

    rows: list[Row]
    descriptors: dict[int, NDArray[Any]]
    seconds: dict[str, float]


Wait = Callable[[], Embedded]


def default_batch(model: Model) -> int:
    """Return how many images the network should see at once on its device."""
    if model.runtime.device.type != "cpu":
        return GPU_BATCH
    return CPU_BATCH if model.spec.trunk == "mini" else CPU_BATCH // 2


def default_workers(model: Model) -> int:
    """Return how many workers keep every core busy."""
    return min(core_count(), MOST_THREADS) if model.runtime.device.type == "cpu" else core_count()


def embed_stream(
    refs: Iterable[ImageRef],
    model: Model,
    decoder: Decoder,
    *,
    batch_size: int,
    workers: int,
    kind: OutputKind = "descriptor",
) -> Iterator[Embedded]:
    """Embed images in lists of `batch_size`, in their order; nothing is listed up front.

    Args: workers: threads on a CPU, processes beside a GPU; 0 does everything in this thread.
    Limits: memory is a few batches a worker.
    Raises: SscdError: a decoding process died. What iterating over `refs` raises comes after the
    images before it.
    """
    on_cpu = model.runtime.device.type == "cpu"
    unit = min(batch_size, CPU_BATCH) if on_cpu else batch_size
    started = partial(_started, model, unit if model.spec.recipe.square else 1, kind)
    if on_cpu and workers:
        lists = Lists(refs, batch_size)
        yield from _in_threads(lambda some: started(decoder.__getitems__(some))(), lists, workers)
        if lists.error is not None:
            raise lists.error
        return
    pinned = not on_cpu
    batches = load_batches(refs, decoder, batch_size=batch_size, workers=workers, pin_memory=pinned)
    yield from _ahead(map(started, batches), 1 if model.runtime.lane else 0)


def _started(model: Model, unit: int, kind: OutputKind, batch: Batch) -> Wait:
    """Begin to run the network over a batch, and return what waits for its end."""
    began = time.perf_counter()
    waits = [model.runtime.start(_filled(pixels, unit), kind) for _, pixels in batch.groups]
    beginning = time.perf_counter() - began

    def wait() -> Embedded:
        again = time.perf_counter()
        descriptors: dict[int, NDArray[Any]] = {}
        for (indices, pixels), rows in zip(batch.groups, waits, strict=True):
            found = rows()[: len(pixels)]
            descriptors.update(zip(indices.tolist(), found, strict=True))
        network = beginning + time.perf_counter() - again
        seconds = {"read": batch.read_seconds, "decode": batch.decode_seconds, "network": network}
        return Embedded(batch.rows, descriptors, seconds)

    return wait


def _ahead(started: Iterator[Wait], count: int) -> Iterator[Embedded]:
    """Wait for each, when `count` more were started; before an error, for all that were."""
    waiting: deque[Wait] = deque()
    try:
        for wait in started:
            waiting.append(wait)
            if len(waiting) > count:
                yield waiting.popleft()()
    except Exception:
        while waiting:
            yield waiting.popleft()()
        raise
    while waiting:
        yield waiting.popleft()()


def _filled(pixels_B3HW: Tensor, unit: int) -> Tensor:
    """Repeat the last image until a batch is a multiple of `unit`.

    Libraries compute small batches by other routines, which round differently; in the larger ones
    a descriptor is the same to the bit, whatever images stand beside it. So neither the division
    into tasks nor an interrupted run shows in a result.
    """
    count = len(pixels_B3HW)
    missing = -count % unit
    return pixels_B3HW[[*range(count), *[count - 1] * missing]] if missing else pixels_B3HW


def _in_threads(work: Any, lists: Iterable[list[ImageRef]], threads: int) -> Iterator[Embedded]:
    """Yield `work` of each list in order, while threads work ahead; interrupted, drop the rest."""
    before = torch.get_num_threads()
    share = partial(torch.set_num_threads, max(1, core_count() // threads))
    waiting: deque[Future[Embedded]] = deque()
    try:
        with ThreadPoolExecutor(threads, initializer=share) as pool:
            try:
                for some in lists:
                    waiting.append(pool.submit(work, some))
                    if len(waiting) > AHEAD * threads:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
    finally:
        torch.set_num_threads(before)
