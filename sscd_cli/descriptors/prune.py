"""Drop from a dataset the rows that no longer count: older rows of an image, vanished images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sscd_cli.descriptors.read import Names, newest_rows, read_rows
from sscd_cli.descriptors.schema import NAME_COLUMNS, names_from_columns, to_parquet
from sscd_cli.descriptors.shards import (
    common_provenance,
    existing_shards,
    locked,
    read_shard,
    remove_leftovers,
)
from sscd_cli.storage.files import whole_file, writing


@dataclass(frozen=True)
class Pruned:
    """How many rows stayed and went: images that count, their older rows, vanished images."""

    kept: int
    superseded: int
    vanished: int


def prune(folder: Path, gone: Callable[[str, str], bool]) -> Pruned:
    """Rewrite the shards that hold superseded or vanished rows; delete the ones left empty.

    gone(source, id) is asked once an image. Each shard is replaced whole, the oldest first, so
    that a run killed in between leaves a dataset that reads as before or without vanished images.
    Raises: StoreError: no shards, a damaged one, another process writes, or the disk is full.
    """
    existing_shards(folder)
    with locked(folder):
        remove_leftovers(folder)
        paths = existing_shards(folder)
        common_provenance(paths)
        table, starts = read_rows(paths, NAME_COLUMNS)
        newest = newest_rows(table)
        kept = newest.copy()
        kept[newest] = ~_vanished(table.filter(pa.array(newest)), gone)
        for path, mask in zip(paths, np.split(kept, starts[1:-1]), strict=True):
            if not mask.all():
                _rewrite(path, mask)
    counts = int(kept.sum()), int(newest.sum())
    return Pruned(counts[0], len(newest) - counts[1], counts[1] - counts[0])


def _vanished(table: pa.Table, gone: Callable[[str, str], bool]) -> npt.NDArray[np.bool_]:
    sources = Names(names_from_columns(table, "source"))
    ids = Names(names_from_columns(table, "id"))
    return np.fromiter(map(gone, sources, ids), np.bool_, len(table))


def _rewrite(path: Path, mask: npt.NDArray[np.bool_]) -> None:
    if not mask.any():
        with writing(path.parent):
            path.unlink()
        return
    payload = to_parquet(read_shard(path).filter(pa.array(mask)))
    with writing(path.parent), whole_file(path) as file:
        file.write(payload)
