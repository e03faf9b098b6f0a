"""The images of a training run and the two views of each."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from sscd_cli.edits.augmentations import Augmentation
from sscd_cli.errors import SscdError
from sscd_cli.images.decode import load_image
from sscd_cli.images.refs import ImageRef
from sscd_cli.machines.device import start_worker

COPIES = 2
_TRIES = 10

Item = tuple[Tensor, list[int]]


class Views(Dataset[Item]):
    """Item (epoch, index) is two views of image `index`, and which images were unreadable.

    The views are uint8 (2, 3, size, size), the same for the same item, whatever the worker. An
    unreadable image is replaced by another one, drawn by the same generator.
    """

    def __init__(self, refs: Sequence[ImageRef], transform: Augmentation, seed: int) -> None:
        self.refs = refs
        self.transform = transform
        self.seed = seed

    def __getitem__(self, item: tuple[int, int]) -> Item:
        epoch, index = item
        rng = Random(f"{self.seed}/{epoch}/{index}")
        image, unreadable = self._open(index, rng)
        views = [np.asarray(self.transform(image, rng)) for _ in range(COPIES)]
        return torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2), unreadable

    def _open(self, index: int, rng: Random) -> tuple[Image.Image, list[int]]:
        unreadable: list[int] = []
        for _ in range(_TRIES):
            try:
                return load_image(self.refs[index]), unreadable
            except Exception:
                unreadable.append(index)
                index = rng.randrange(len(self.refs))
        raise RuntimeError(f"{_TRIES} unreadable images in a row")


class EpochOrder(Sampler[tuple[int, int]]):
    """Every image once an epoch in an order of its own, dealt out among the ranks."""

    def __init__(self, count: int, seed: int, rank: int, ranks: int) -> None:
        self.count, self.seed, self.rank, self.ranks = count, seed, rank, ranks
        self.epoch = 0

    def __len__(self) -> int:
        return self.count // self.ranks

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count)
        mine = order[self.rank :: self.ranks][: len(self)]
        return iter([(self.epoch, int(index)) for index in mine])

    def batches(self, size: int) -> list[NDArray[np.int64]]:
        """Return the images of each whole batch of this epoch."""
        indices = np.array([index for _, index in self], np.int64)
        return [indices[i : i + size] for i in range(0, len(indices) - size + 1, size)]


def view_batches(
    views: Views, order: EpochOrder, *, batch_size: int, workers: int, pin_memory: bool
) -> DataLoader[Item]:
    """Batches of uint8 (2 · batch_size, 3, size, size): all first views, then all second views.

    Beside each lie the indices of the images that were unreadable.
    """
    return DataLoader(
        views,
        batch_size=batch_size,
        sampler=order,
        num_workers=workers,
        drop_last=True,
        collate_fn=_stack_views,
        pin_memory=pin_memory,
        persistent_workers=False,
        multiprocessing_context="fork" if workers else None,
        worker_init_fn=start_worker,
    )


def readable(refs: Sequence[ImageRef], longest_side: int) -> Iterator[Image.Image]:
    """Yield the images that can be read, shrunk to the longest side where they are larger."""
    for ref in refs:
        try:
            image = load_image(ref)
        except Exception:
            continue
        image.thumbnail((longest_side, longest_side))
        yield image


def squashed(images: Sequence[Image.Image], size: int) -> Tensor:
    """Return images as the network sees them at inference: uint8 (N, 3, size, size)."""
    pixels = [np.asarray(image.resize((size, size), Image.Resampling.BILINEAR)) for image in images]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)


def drawn_batches(loader: DataLoader[Item]) -> Generator[Item, None, None]:
    """Yield the batches of `loader`; its workers end with the generator, so close it.

    Raises: SscdError: a worker died, or nothing is readable.
    """
    batches = iter(loader)
    try:
        yield from batches
    except RuntimeError as error:
        raise SscdError(
            f"the views cannot be made: {str(error).strip().splitlines()[-1]}",
            "check the images, or rerun with --workers 0 to see more",
        ) from error
    finally:
        if loader.num_workers:  # an error's traceback keeps them, and they ignore what ends them
            batches._shutdown_workers()  # type: ignore[attr-defined]


def _stack_views(items: list[Item]) -> Item:
    views, unreadable = zip(*items, strict=True)
    return torch.stack(views, dim=1).flatten(0, 1), [index for part in unreadable for index in part]
