"""Decoded images as batches of uint8 tensors, made in worker processes, or where one likes.

Nothing is listed up front, rows stay in the order of their sources whatever the number of
workers, and an unreadable image takes its place as a row with a reason.
"""

from __future__ import annotations

import re
import signal
import time
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from sscd_cli.errors import SscdError
from sscd_cli.images.decode import (
    DEFAULT_LIMITS,
    Copied,
    Decoded,
    Known,
    Limits,
    Unreadable,
    decode_contents,
    read,
)
from sscd_cli.images.preprocess import Recipe
from sscd_cli.images.refs import ImageRef

Row = Decoded | Copied | Unreadable
Group = tuple[npt.NDArray[np.int64], torch.Tensor]

# the two ways in which torch says that a worker is gone; its other errors lack the number
DEAD_WORKER = re.compile(r"DataLoader worker \(pid")


@dataclass
class Batch:
    """Some consecutive images and the pixels of those that could be decoded.

    rows: in the order of the sources; `pixels` of a `Decoded` is None. groups: one for each size
    of image in the batch, (indices into `rows`, int64 (B,); pixels, uint8 (B, 3, H, W),
    contiguous in channels-last order). read_seconds, decode_seconds: spent in the worker.
    """

    rows: list[Row]
    groups: list[Group]
    read_seconds: float = 0.0
    decode_seconds: float = 0.0

    def pin_memory(self) -> Batch:
        """Move the pixels to page-locked memory; the loader calls it."""
        groups = [(indices, pixels.pin_memory()) for indices, pixels in self.groups]
        return replace(self, groups=groups)


def load_batches(
    refs: Iterable[ImageRef],
    decoder: Decoder,
    *,
    batch_size: int,
    workers: int,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """Read, decode and resize `refs` in batches of `batch_size`, the last one smaller.

    Args: workers: processes, each two batches ahead; 0 decodes in this one. They see what
    `decoder.known` knew when the first batch was asked for. pin_memory: ignored without CUDA.
    Raises: SscdError: a worker died. What iterating over `refs` raises comes after the batches of
    the images before it.
    """
    lists = Lists(refs, batch_size)
    try:
        yield from _started(decoder, lists, workers, pin_memory)
    except RuntimeError as error:
        if DEAD_WORKER.search(str(error)):
            what = "a decoding worker died (out of memory, or killed by a damaged file)"
            raise SscdError(what, "rerun with --workers 0 to find the file") from error
        raise
    if lists.error is not None:
        raise lists.error


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
class Decoder(Dataset[Batch]):
    """Reads, decodes and resizes a list of images to a `Batch`, in any thread or process.

    known: asked with the hash of a file's bytes whether decoding can be spared.
    """

    recipe: Recipe
    limits: Limits = DEFAULT_LIMITS
    known: Known | None = None

    def __getitems__(self, refs: list[ImageRef]) -> Batch:
        batch = Batch([], [])
        batch.rows = [self._row(ref, batch) for ref in refs]
        batch.groups = _stacked(batch.rows)
        batch.rows = [_without_pixels(row) for row in batch.rows]
        return batch

    def _row(self, ref: ImageRef, batch: Batch) -> Row:
        start = time.perf_counter()
        contents = read(ref, self.limits)
        batch.read_seconds += time.perf_counter() - start
        if isinstance(contents, Unreadable):
            return contents
        if self.known is not None and self.known(contents.content_hash):
            return contents.as_copied()
        start = time.perf_counter()
        row = decode_contents(contents, self.recipe, self.limits)
        batch.decode_seconds += time.perf_counter() - start
        return row


def _stacked(rows: list[Row]) -> list[Group]:
    """Stack the pixels of one size each, as views of one tensor: one file handle to hand over."""
    members: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    images: dict[int, npt.NDArray[np.uint8]] = {}
    for index, row in enumerate(rows):
        if isinstance(row, Decoded) and row.pixels is not None:
            images[index] = row.pixels
            members[row.pixels.shape].append(index)
    flat = torch.empty(sum(pixels.size for pixels in images.values()), dtype=torch.uint8)
    groups, start = [], 0
    for shape, indices in members.items():
        end = start + len(indices) * int(np.prod(shape))
        group_BHWC = flat[start:end].view(len(indices), *shape)
        np.stack([images[index] for index in indices], out=group_BHWC.numpy())
        groups.append((np.array(indices, dtype=np.int64), group_BHWC.permute(0, 3, 1, 2)))
        start = end
    return groups


def _without_pixels(row: Row) -> Row:
    return replace(row, pixels=None) if isinstance(row, Decoded) else row


def _unchanged(batch: Any) -> Any:
    return batch


def start_worker(_: int) -> None:
    """Make a process that decodes ready: one thread, and no end of its own."""
    torch.set_num_threads(1)
    # what ends a run may reach the whole process group, and the main process decides when to stop
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _started(decoder: Decoder, lists: Lists, workers: int, pin_memory: bool) -> Iterator[Batch]:
    """Start the workers; a fork beside idle threads and more workers than cores are no mistakes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loader = DataLoader(
            decoder,
            batch_sampler=lists,
            num_workers=workers,
            collate_fn=_unchanged,
            pin_memory=pin_memory and torch.cuda.is_available(),
            worker_init_fn=start_worker,
            multiprocessing_context="fork" if workers else None,
            generator=torch.Generator(),  # leaves the global one where it is
        )
        return iter(loader)
