"""From images to descriptors, with every core at work.

On a CPU each worker is a thread that takes some images all the way, from reading to the network,
on its own share of the cores: nothing is handed over, and no core waits for another. Beside a GPU
workers are processes that decode ahead of it, for Python itself is too slow there. Nothing is
listed up front, images stay in the order of their sources whatever the number of workers, and an
unreadable image takes its place as a row with a reason. Loads no torch on a CPU.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.choices import OutputKind
from sscd_cli.images.compressed import Compressed, left_compressed
from sscd_cli.images.decode import Decoded, decode_contents
from sscd_cli.images.preprocess import Recipe
from sscd_cli.images.read import DEFAULT_LIMITS, Contents, Copied, Limits, Unreadable, read
from sscd_cli.images.refs import ImageRef
from sscd_cli.machines.hardware import core_count
from sscd_cli.machines.threads import in_order
from sscd_cli.models.load import Model

if TYPE_CHECKING:
    from sscd_cli.models.load import AnyRuntime

CPU_BATCH = 4  # more is no faster on the CPUs measured, and takes 6 MB each of each thread
GPU_BATCH = 128
MOST_THREADS = 8  # each holds the activations of a batch, and Python's lock gets in the way
AHEAD = 2  # lists of images that wait for each thread

Outcome = Decoded | Copied | Unreadable
LEFT_BYTES = 1 << 28  # of compressed files in a batch; what is over is decoded with the rest
# `on_gpu` makes torch tensors of the pixels
Group = tuple[NDArray[np.int64], Any]


@dataclass
class Batch:
    """Some consecutive images and the pixels of those that could be decoded.

    outcomes: in the order of the sources; `pixels` of a `Decoded` is None. groups: one for each
    size of image in the batch, (indices into `outcomes`, int64 (B,); pixels, uint8 (B, H, W, 3)).
    jpegs: by index into `outcomes`, what was left to a GPU.
    read_seconds, decode_seconds: spent in the worker.
    """

    outcomes: list[Outcome]
    groups: list[Group]
    read_seconds: float = 0.0
    decode_seconds: float = 0.0
    jpegs: dict[int, Compressed] = field(default_factory=dict)


class Lists:
    """The images as lists of `size`, drawn lazily; ends at an error of `refs` and keeps it."""

    def __init__(self, refs: Iterable[ImageRef], size: int) -> None:
        self.refs = refs
        self.size = size
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[list[ImageRef]]:
        refs = self._until_error()
        while some := list(islice(refs, self.size)):
            yield some

    def _until_error(self) -> Iterator[ImageRef]:
        try:
            yield from self.refs
        except Exception as error:
            self.error = error


@dataclass(frozen=True)
class Decoder:
    """Reads, decodes and resizes a list of images to a `Batch`, in any thread or process.

    known: asked with the hash of a file's bytes whether decoding can be spared. leaves_jpegs: to
    who gets the batch, see `images.compressed`.
    """

    recipe: Recipe
    limits: Limits = DEFAULT_LIMITS
    known: Callable[[bytes], bool] | None = None
    leaves_jpegs: bool = False

    def batch(self, refs: list[ImageRef]) -> Batch:
        """Return what became of each image."""
        batch = Batch([], [])
        for ref in refs:
            batch.outcomes.append(self._outcome(ref, batch))
        batch.groups = _stacked(batch.outcomes)
        batch.outcomes = [_without_pixels(outcome) for outcome in batch.outcomes]
        return batch

    def _outcome(self, ref: ImageRef, batch: Batch) -> Outcome:
        start = time.perf_counter()
        contents = read(ref, self.limits)
        batch.read_seconds += time.perf_counter() - start
        if isinstance(contents, Unreadable):
            return contents
        if self.known is not None and self.known(contents.content_hash):
            return contents.as_copied()
        start = time.perf_counter()
        if self.leaves_jpegs and (jpeg := self._left(contents, batch)):
            batch.jpegs[len(batch.outcomes)] = jpeg
            return jpeg.decoded
        outcome = decode_contents(contents, self.recipe, self.limits)
        batch.decode_seconds += time.perf_counter() - start
        return outcome

    def _left(self, contents: Contents, batch: Batch) -> Compressed | None:
        left = sum(len(jpeg.data) for jpeg in batch.jpegs.values())
        if left + len(contents.data) > LEFT_BYTES:
            return None
        return left_compressed(contents, self.recipe, self.limits)


def _stacked(outcomes: list[Outcome]) -> list[Group]:
    """Stack the pixels of one size each."""
    members: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    images: dict[int, NDArray[np.uint8]] = {}
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, Decoded) and outcome.pixels is not None:
            images[index] = outcome.pixels
            members[outcome.pixels.shape].append(index)
    return [
        (np.array(indices, dtype=np.int64), np.stack([images[index] for index in indices]))
        for indices in members.values()
    ]


def _without_pixels(outcome: Outcome) -> Outcome:
    return replace(outcome, pixels=None) if isinstance(outcome, Decoded) else outcome


@dataclass(frozen=True)
class Embedded:
    """Some consecutive images.

    outcomes: in the order of the sources. descriptors: (D,) float32 by index into `outcomes`, for
    each image that was decoded. seconds: spent on "read", "decode" and "network".
    """

    outcomes: list[Outcome]
    descriptors: dict[int, NDArray[Any]]
    seconds: dict[str, float]


Pending = Callable[[], Embedded]


def default_batch(model: Model) -> int:
    """Return how many images the network should see at once on its device."""
    return CPU_BATCH if model.runtime.device.type == "cpu" else GPU_BATCH


def default_workers(model: Model) -> int:
    """Return how many workers keep every core busy."""
    most = MOST_THREADS if model.runtime.device.type == "cpu" else core_count()
    return min(core_count(), most)


def embed_in_threads(
    lists: Lists, model: Model, decoder: Decoder, *, workers: int, kind: OutputKind
) -> Iterator[Embedded]:
    """Embed lists of images as `local.embed_stream` does, on the cores alone."""
    unit = min(lists.size, CPU_BATCH) if model.spec.recipe.square else 1

    def work(some: list[ImageRef]) -> Embedded:
        return started(model, unit, kind, decoder.batch(some))()

    yield from _in_threads(work, lists, model.runtime, workers)


def started(model: Model, unit: int, kind: OutputKind, batch: Batch) -> Pending:
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
        return Embedded(batch.outcomes, descriptors, seconds)

    return wait


def _filled(pixels: Any, unit: int) -> Any:
    """Repeat the last image until a batch is a multiple of `unit`.

    Libraries compute small batches by other routines, which round differently; in the larger ones
    a descriptor is the same to the bit, whatever images stand beside it. So neither the division
    into tasks nor an interrupted run shows in a result.
    """
    count = len(pixels)
    missing = -count % unit
    return pixels[[*range(count), *[count - 1] * missing]] if missing else pixels


def _in_threads(
    work: Callable[[list[ImageRef]], Embedded],
    lists: Iterable[list[ImageRef]],
    runtime: AnyRuntime,
    threads: int,
) -> Iterator[Embedded]:
    """Yield `work` of each list in order, while threads work ahead; interrupted, drop the rest.

    threads: 0 works in this one, when asked for the next.
    """
    if not threads:
        yield from map(work, lists)
        return
    with (
        runtime.shared_by(threads) as begin,
        ThreadPoolExecutor(threads, initializer=begin) as pool,
    ):
        yield from in_order(pool, AHEAD * threads, work, lists)
