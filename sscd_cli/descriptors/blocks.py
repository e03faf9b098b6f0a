"""A dataset by row numbers, without names: what one machine of many reads for its tiles.

Rows are numbered through all shards in their order, older and unreadable ones too, so that the
footers alone tell which shards hold which rows.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sscd_cli.descriptors.read import readable_rows, refuse_other_outputs
from sscd_cli.descriptors.schema import Descriptor
from sscd_cli.descriptors.shards import (
    common_provenance,
    existing_shards,
    shard_rows,
    unreadable_file,
)


class NumberedRows:
    """The descriptors of a dataset as it is now, by row number.

    Raises: StoreError: as `read_comparable`.
    Limits: 40 bytes a shard; `read` holds one shard beside its result.
    """

    def __init__(self, folder: Path) -> None:
        self._paths = existing_shards(folder)
        self.provenance = common_provenance(self._paths)
        refuse_other_outputs(folder, self.provenance)
        self._starts = np.cumsum([0, *map(shard_rows, self._paths)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def digest(self) -> str:
        """Return 16 hex digits that change whenever a shard comes, goes or is written again."""
        digest = hashlib.blake2b(digest_size=8)
        for path in self._paths:
            try:
                status = path.stat()
            except OSError as error:
                raise unreadable_file(path, error) from error
            digest.update(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
        return digest.hexdigest()

    def read(self, start: int, stop: int) -> tuple[npt.NDArray[np.int64], Descriptor]:
        """Read the rows from `start` to before `stop` that have a descriptor.

        Returns: their numbers, int64 (M,), and descriptors (M, D) in the stored dtype.
        Raises: StoreError: a shard is damaged or cannot be read.
        """
        provenance = self.provenance
        numbers = [np.empty(0, np.int64)]
        parts = [np.empty((0, provenance.dimensions), provenance.dtype)]
        first = int(np.searchsorted(self._starts, start, "right")) - 1
        for path, begin in zip(self._paths[first:], self._starts[first:], strict=False):
            if begin >= stop:
                break
            rows, values = readable_rows(path, provenance)
            rows += begin
            inside = (rows >= start) & (rows < stop)
            numbers.append(rows[inside])
            parts.append(values[inside].astype(provenance.dtype, copy=False))
        return np.concatenate(numbers), np.concatenate(parts)
