"""Batches made by worker processes ahead of a GPU, with pixels as torch tensors."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from sscd_cli.embedding.stream import Batch, Decoder, Lists
from sscd_cli.errors import SscdError
from sscd_cli.images.refs import ImageRef
from sscd_cli.machines.device import start_worker

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
        groups = [(i, torch.from_numpy(rows).permute(0, 3, 1, 2)) for i, rows in made.groups]
        jpegs = {
            index: replace(jpeg, data=torch.frombuffer(bytearray(jpeg.data), dtype=torch.uint8))
            for index, jpeg in made.jpegs.items()
        }
        return TensorBatch(made.rows, groups, made.read_seconds, made.decode_seconds, jpegs)


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
    if lists.error is not None:
        raise lists.error


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
