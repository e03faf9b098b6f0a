"""The image sets of a benchmark: stored descriptors, or images that are embedded first."""

from __future__ import annotations

from pathlib import Path

from sscd_cli.commands import embed
from sscd_cli.descriptors.read import DescriptorSet, read_comparable
from sscd_cli.descriptors.shards import shard_paths
from sscd_cli.errors import SscdError
from sscd_cli.options.embed import EmbedOptions
from sscd_cli.options.evaluate import BenchmarkOptions


def read_set(path: Path, name: str, options: BenchmarkOptions, *, fix: str) -> DescriptorSet:
    """Read a folder of shards, or embed a folder of images into one of its own.

    The images go to `name` in the folder of `options.descriptors`, as float32, so that an
    evaluation loses nothing; what an earlier run embedded is not embedded again. fix: what to do
    where there is no such path.

    Raises: SscdError: there is no such path. NoImagesError, StoreError, ModelError: as `embed`.
    """
    if not path.exists():
        raise SscdError(f"there is no {path}", fix)
    if shard_paths(path):
        return read_comparable(path, columns=())
    folder = options.descriptors / name
    own = {"sources": (str(path),), "descriptors": folder, "dtype": "float32"}
    embedded = embed.run(EmbedOptions(**options.shared_with(EmbedOptions) | own))
    return embedded.narrow(read_comparable(folder, columns=()))
