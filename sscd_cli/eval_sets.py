"""The image sets of a benchmark: stored descriptors, or images that are embedded first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sscd_cli import embed
from sscd_cli.errors import SscdError, StoreError
from sscd_cli.options import BenchmarkOptions, EmbedOptions

if TYPE_CHECKING:
    from sscd_cli.descriptors.read import DescriptorSet

Progress = Callable[[embed.EmbedResult], None]


@dataclass(frozen=True)
class ImageSet:
    """The readable images of a set, and how many are not."""

    stored: DescriptorSet
    unreadable: int

    @property
    def ids(self) -> list[str]:
        return list(self.stored.ids)

    @property
    def images(self) -> int:
        return len(self.stored)


def read_set(
    path: Path, name: str, options: BenchmarkOptions, progress: Progress, *, fix: str
) -> ImageSet:
    """Read a folder of shards, or embed a folder of images into one of its own.

    The images go to `name` in the folder of `options.descriptors`, as float32, so that an
    evaluation loses nothing; what an earlier run embedded is not embedded again. fix: what to do
    where there is no such path.

    Raises: SscdError: there is no such path. NoImagesError, StoreError, ModelError: as `embed`.
    """
    from sscd_cli.descriptors.read import read_comparable
    from sscd_cli.descriptors.shards import shard_paths

    if not path.exists():
        raise SscdError(f"there is no {path}", fix)
    if shard_paths(path):
        stored = read_comparable(path, columns=())
        return ImageSet(stored, len(stored.unreadable))
    folder = options.descriptors / name
    embedding = EmbedOptions(
        sources=(str(path),),
        descriptors=folder,
        model=options.model,
        device=options.device,
        precision=options.precision,
        batch_size=options.batch_size,
        workers=options.workers,
        dtype="float32",
    )
    embedded = embed.run(embedding, progress)
    stored = read_comparable(folder, columns=())
    failed = stored.unreadable
    return ImageSet(
        stored.select(embedded.saw(stored.sources, stored.ids)),
        int(embedded.saw(failed.sources, failed.ids).sum()),
    )


def refuse_mixtures(sets: Iterable[ImageSet]) -> None:
    """Raise StoreError unless all sets can be compared."""
    from sscd_cli.descriptors.schema import difference

    first, *others = (image_set.stored for image_set in sets)
    for other in others:
        contrast = difference(first.provenance, other.provenance)
        if contrast:
            raise StoreError(
                f"{first.folder} and {other.folder} cannot be compared: {contrast}",
                "embed both with the same model",
            )
