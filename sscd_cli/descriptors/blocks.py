"""A dataset by row numbers: what one machine of many reads of it, and what the last one does.

Rows are numbered through all shards in their order, older and unreadable ones too, so that the
footers alone tell which shards hold which rows. Nothing here holds all descriptors or all names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sscd_cli.descriptors.provenance import Descriptor
from sscd_cli.descriptors.read import (
    COLUMNS,
    DescriptorSet,
    Names,
    UnreadableRows,
    arrays_of,
    readable_rows,
    refuse_other_outputs,
)
from sscd_cli.descriptors.schema import NAME_COLUMNS, name_digests, names_from_columns
from sscd_cli.descriptors.shards import (
    common_provenance,
    existing_shards,
    read_shard,
    shard_rows,
    unreadable_file,
)

Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Census:
    """What each of R rows is; both masks are bool (R,).

    newest: no later row is of the same image. readable: it has a descriptor.
    """

    newest: Mask
    readable: Mask


class NumberedRows:
    """The descriptors of a dataset as it is now, by row number.

    Raises: StoreError: as `read_comparable`; on the way too, where a shard is damaged.
    Limits: 40 bytes a shard; whatever reads holds one shard beside its result.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
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

    def read(self, start: int, stop: int) -> tuple[Indices, Descriptor]:
        """Read the rows from `start` to before `stop` that have a descriptor.

        Returns: their numbers, int64 (M,), and descriptors (M, D) in the stored dtype.
        """
        return self.some(np.arange(start, stop))

    def some(self, numbers: Indices) -> tuple[Indices, Descriptor]:
        """Read those of some rows that have a descriptor. Args: numbers: ascending."""
        found = [np.empty(0, np.int64)]
        parts = [np.empty((0, self.provenance.dimensions), self.provenance.dtype)]
        for path, begin, wanted in self._holding(numbers):
            rows, values = readable_rows(path, self.provenance)
            inside = np.isin(rows, wanted, assume_unique=True)
            found.append(rows[inside] + begin)
            parts.append(values[inside].astype(self.provenance.dtype, copy=False))
        return np.concatenate(found), np.concatenate(parts)

    def sample(self, count: int) -> Descriptor:
        """Read the descriptors of so many rows at random, the same ones every time."""
        generator = np.random.default_rng(len(self))
        chosen = generator.choice(len(self), min(count, len(self)), replace=False)
        return self.some(np.sort(chosen))[1]

    def census(self) -> Census:
        """Find out which rows still count, from their names alone.

        Memory: some 60 bytes a row, for digests of 16 bytes stand for the names.
        """
        digests = np.empty((len(self), 2), np.uint64)
        readable = np.empty(len(self), np.bool_)
        for path, begin, rows in self._holding(np.arange(len(self))):
            table = read_shard(path, [*NAME_COLUMNS, "status"])
            keys = b"".join(name_digests(table))
            digests[begin : begin + len(rows)] = np.frombuffer(keys, np.uint64).reshape(-1, 2)
            readable[begin : begin + len(rows)] = [s == "ok" for s in table["status"].to_pylist()]
        order = np.lexsort((digests[:, 1], digests[:, 0]))  # rows of one name stay in order
        digests = digests[order]
        newest = np.ones(len(self), np.bool_)
        newest[order[:-1][(digests[1:] == digests[:-1]).all(axis=1)]] = False
        return Census(newest, readable)

    def names(self, column: str) -> Iterator[str]:
        """Yield the `id` or the `source` of all rows, in order."""
        for path in self._paths:
            table = read_shard(path, [column, f"{column}_bytes"])
            yield from Names(names_from_columns(table, column))

    def described(self, numbers: Indices, *, descriptors: bool = True) -> DescriptorSet:
        """Read all that is known of some rows, which must have a descriptor.

        Args: numbers: ascending. descriptors: if false, they are left out and have no columns.
        """
        wanted = [*NAME_COLUMNS, *COLUMNS]
        tables = [read_shard(self._paths[0], wanted)[:0].replace_schema_metadata()]
        for path, _, rows in self._holding(numbers):
            tables.append(read_shard(path, wanted).take(rows).replace_schema_metadata())
        none = np.empty((len(numbers), 0), self.provenance.dtype)
        nobody = Names(pa.chunked_array([], pa.binary()))
        return DescriptorSet(
            folder=self.folder,
            provenance=self.provenance,
            descriptors=self.some(numbers)[1] if descriptors else none,
            **arrays_of(pa.concat_tables(tables)),
            unreadable=UnreadableRows(nobody, nobody, []),
            shards=(),
            superseded=0,
            numbers=numbers,
        )

    def _holding(self, numbers: Indices) -> Iterator[tuple[Path, int, Indices]]:
        """Yield each shard that holds some rows, its first number, and which of its own they are.

        numbers: ascending.
        """
        cuts = np.searchsorted(numbers, self._starts)
        shards = zip(self._paths, self._starts, cuts, cuts[1:], strict=False)
        for path, begin, first, stop in shards:
            if first < stop:
                yield path, int(begin), numbers[first:stop] - begin
