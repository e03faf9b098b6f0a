"""Decoded images as batches of uint8 pixels, made in any thread. Loads no torch.

Nothing is listed up front, rows stay in the order of their sources whatever the number of
workers, and an unreadable image takes its place as a row with a reason.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from sscd_cli.images.compressed import Compressed, left_compressed
from sscd_cli.images.decode import (
    DEFAULT_LIMITS,
    Contents,
    Copied,
    Decoded,
    Limits,
    Unreadable,
    decode_contents,
    read,
)
from sscd_cli.images.preprocess import Recipe
from sscd_cli.images.refs import ImageRef

Row = Decoded | Copied | Unreadable
LEFT_BYTES = 1 << 28  # of compressed files in a batch; what is over is decoded with the rest
# `processes` makes torch tensors of the pixels
Group = tuple[npt.NDArray[np.int64], Any]


@dataclass
class Batch:
    """Some consecutive images and the pixels of those that could be decoded.

    rows: in the order of the sources; `pixels` of a `Decoded` is None. groups: one for each size
    of image in the batch, (indices into `rows`, int64 (B,); pixels, uint8 (B, H, W, 3)).
    jpegs: by index into `rows`, what was left to a GPU.
    read_seconds, decode_seconds: spent in the worker.
    """

    rows: list[Row]
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
            batch.rows.append(self._row(ref, batch))
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
        if self.leaves_jpegs and (jpeg := self._left(contents, batch)):
            batch.jpegs[len(batch.rows)] = jpeg
            return jpeg.row
        row = decode_contents(contents, self.recipe, self.limits)
        batch.decode_seconds += time.perf_counter() - start
        return row

    def _left(self, contents: Contents, batch: Batch) -> Compressed | None:
        left = sum(len(jpeg.data) for jpeg in batch.jpegs.values())
        if left + len(contents.data) > LEFT_BYTES:
            return None
        return left_compressed(contents, self.recipe, self.limits)


def _stacked(rows: list[Row]) -> list[Group]:
    """Stack the pixels of one size each."""
    members: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    images: dict[int, npt.NDArray[np.uint8]] = {}
    for index, row in enumerate(rows):
        if isinstance(row, Decoded) and row.pixels is not None:
            images[index] = row.pixels
            members[row.pixels.shape].append(index)
    return [
        (np.array(indices, dtype=np.int64), np.stack([images[index] for index in indices]))
        for indices in members.values()
    ]


def _without_pixels(row: Row) -> Row:
    return replace(row, pixels=None) if isinstance(row, Decoded) else row
