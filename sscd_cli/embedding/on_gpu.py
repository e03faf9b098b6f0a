"""Beside a GPU: batches made by worker processes ahead of it, with pixels as torch tensors.

JPEG files that the workers left compressed are decoded on the GPU itself.
"""

from __future__ import annotations

import re
import time
import warnings
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sscd_cli.choices import OutputKind
from sscd_cli.embedding.stream import Batch, Decoder, Embedded, Lists, Outcome, Pending, started
from sscd_cli.errors import SscdError
from sscd_cli.images.compressed import Compressed
from sscd_cli.images.decode import Decoded, content_of, decode_contents
from sscd_cli.images.preprocess import Recipe
from sscd_cli.images.refs import ImageRef
from sscd_cli.machines.device import start_worker
from sscd_cli.models.load import Model
from sscd_cli.models.runtime import nvjpeg

# the two ways in which torch says that a worker is gone; its other errors lack the number
DEAD_WORKER = re.compile(r"DataLoader worker \(pid")


class TensorBatch(Batch):
    """A batch whose pixels are tensors (B, 3, H, W), contiguous in channels-last order."""

    def pin_memory(self) -> Batch:
        """Move the pixels to page-locked memory; the loader calls it."""
        groups = [(indices, pixels.pin_memory()) for indices, pixels in self.groups]
        return replace(self, groups=groups)


class _Batches(Dataset[TensorBatch]):
    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def __getitems__(self, refs: list[ImageRef]) -> TensorBatch:
        made = self._decoder.batch(refs)
        groups = [(i, torch.from_numpy(pixels).permute(0, 3, 1, 2)) for i, pixels in made.groups]
        jpegs = {
            index: replace(jpeg, data=torch.frombuffer(bytearray(jpeg.data), dtype=torch.uint8))
            for index, jpeg in made.jpegs.items()
        }
        return TensorBatch(made.outcomes, groups, made.read_seconds, made.decode_seconds, jpegs)


def load_batches(
    lists: Lists,
    decoder: Decoder,
    *,
    workers: int,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """Read, decode and resize lists of images, each to a batch.

    Args: workers: processes, each two batches ahead; 0 decodes in this one. They see what
    `Decoder.known` knew when the first batch was asked for. pin_memory: ignored without CUDA.
    Raises: SscdError: a worker died.
    """
    batches = _started(decoder, lists, workers, pin_memory)
    try:
        yield from batches
    except RuntimeError as error:
        if DEAD_WORKER.search(str(error)):
            what = "a decoding worker died (out of memory, or killed by a damaged file)"
            raise SscdError(what, "rerun with --workers 0 to find the file") from error
        raise
    finally:
        if workers:  # an error's traceback keeps them, and they ignore what ends them at exit
            batches._shutdown_workers()


def _unchanged(batch: Any) -> Any:
    return batch


def _started(decoder: Decoder, lists: Lists, workers: int, pin_memory: bool) -> Any:
    """Start the workers; a fork beside idle threads and more workers than cores are no mistakes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loader = DataLoader(
            _Batches(decoder),
            batch_sampler=lists,
            num_workers=workers,
            collate_fn=_unchanged,
            pin_memory=pin_memory and torch.cuda.is_available(),
            worker_init_fn=start_worker,
            multiprocessing_context="fork" if workers else None,
            generator=torch.Generator(),  # leaves the global one where it is
        )
        return iter(loader)


def decodes_jpegs(model: Model, recipe: Recipe) -> bool:
    """Whether the GPU decodes what `images.compressed` leaves to it."""
    device = str(model.runtime.device)
    return recipe.decode == "fast" and model.runtime.lane is not None and nvjpeg.works(device)


def completed(batch: Batch, decoder: Decoder, model: Model) -> Batch:
    """Return a batch of which every image is decoded; what the GPU refuses, on this core."""
    if not batch.jpegs:
        return batch
    start = time.perf_counter()
    outcomes, device = list(batch.outcomes), str(model.runtime.device)
    members: defaultdict[torch.Size, list[int]] = defaultdict(list)
    pictures: dict[int, Tensor] = {}
    made = nvjpeg.pictures(batch.jpegs.values(), decoder.recipe, device)
    for (index, jpeg), there in zip(batch.jpegs.items(), made, strict=True):
        outcomes[index], here = (
            (jpeg.decoded, None) if there is not None else _decoded(jpeg, decoder)
        )
        picture = there if here is None else here.to(device)
        if picture is not None:
            pictures[index] = picture
            members[picture.shape].append(index)
    stacks = [(i, torch.stack([pictures[index] for index in i])) for i in members.values()]
    for indices, stack in stacks:
        for index, pixels in zip(indices, stack.permute(0, 2, 3, 1).cpu().numpy(), strict=True):
            outcome = outcomes[index]
            assert isinstance(outcome, Decoded)  # it has pixels
            outcomes[index] = replace(outcome, content=content_of(pixels))
    groups = [*batch.groups, *((np.array(i, np.int64), stack) for i, stack in stacks)]
    seconds = batch.decode_seconds + time.perf_counter() - start
    return Batch(outcomes, groups, batch.read_seconds, seconds)


def _decoded(jpeg: Compressed, decoder: Decoder) -> tuple[Outcome, Tensor | None]:
    """Return what became of a file that the GPU refused, and its pixels if it can be read."""
    outcome = decode_contents(jpeg.contents(), decoder.recipe, decoder.limits)
    if not isinstance(outcome, Decoded) or outcome.pixels is None:
        return outcome, None
    pixels = torch.from_numpy(outcome.pixels.copy()).permute(2, 0, 1)
    return replace(outcome, pixels=None), pixels


def embed_beside_gpu(
    lists: Lists, model: Model, decoder: Decoder, *, workers: int, kind: OutputKind
) -> Iterator[Embedded]:
    """Embed lists of images as `local.embed_stream` does, on what the workers decode ahead."""
    unit = lists.size if model.spec.recipe.square else 1
    decoder = replace(decoder, leaves_jpegs=decodes_jpegs(model, decoder.recipe))
    batches = load_batches(lists, decoder, workers=workers, pin_memory=True)
    waits = (started(model, unit, kind, completed(batch, decoder, model)) for batch in batches)
    yield from ahead(waits, 1 if model.runtime.lane else 0)


def ahead(begun: Iterator[Pending], count: int) -> Iterator[Embedded]:
    """Wait for each, when `count` more were started; before an error, for all that were."""
    waiting: deque[Pending] = deque()
    try:
        for wait in begun:
            waiting.append(wait)
            if len(waiting) > count:
                yield waiting.popleft()()
    except Exception:
        while waiting:
            yield waiting.popleft()()
        raise
    while waiting:
        yield waiting.popleft()()
