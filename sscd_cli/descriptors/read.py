"""Read a descriptor dataset into arrays: the newest row of each image, and what went wrong.

Shape legend: N images with a descriptor, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sscd_cli.descriptors.provenance import Descriptor, Provenance, difference
from sscd_cli.descriptors.schema import (
    HASH_BYTES,
    LATER_COLUMNS,
    NAME_COLUMNS,
    descriptor_values,
    names_from_columns,
)
from sscd_cli.descriptors.shards import (
    common_provenance,
    existing_shards,
    read_shard,
    unreadable_file,
)
from sscd_cli.errors import NoImagesError, StoreError
from sscd_cli.storage.places import place
from sscd_cli.text import counted

COLUMNS = ("width", "height", "format", "file_bytes", "mtime_ns", "content_hash", *LATER_COLUMNS)
_CHECKED_AT_ONCE = 4096  # rows
_OFF_UNIT = 0.02  # of a squared length; 512 values in float16 move it by 0.001 at most


class DescriptorTransform(Protocol):
    """What may be done to descriptors as they are read, such as `scoring.post` learns."""

    @property
    def dimensions(self) -> int:
        """Length of a descriptor after it."""

    def applied_to(self, provenance: Provenance) -> Provenance:
        """Return what made descriptors after it. Raises: StoreError: it fits others only."""

    def apply(self, descriptors_ND: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return descriptors after it, (N, `dimensions`)."""


class Names(Sequence[str]):
    """File names as Arrow holds them (their bytes), made into `str` one by one when asked for.

    `list(names)` costs an object a name. Bytes that are not UTF-8 come back as `os.fsdecode`
    gives them.
    """

    def __init__(self, array: pa.ChunkedArray) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Names: ...
    def __getitem__(self, index: int | slice) -> str | Names:
        if isinstance(index, slice):
            return Names(self._array[index])
        return _decode(self._array[int(index)].as_py())

    def filter(self, rows_N: npt.NDArray[np.bool_]) -> Names:
        """Return the names that a mask keeps."""
        return Names(self._array.filter(pa.array(rows_N)))

    def __iter__(self) -> Iterator[str]:
        for chunk in self._array.chunks:
            yield from map(_decode, chunk.to_pylist())


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, eq=False)
class UnreadableRows:
    """The images without a descriptor, and why."""

    ids: Names
    sources: Names
    errors: list[str]

    def __len__(self) -> int:
        return len(self.errors)

    def select(self, rows_N: npt.NDArray[np.bool_]) -> UnreadableRows:
        """Return the images that a mask keeps."""
        errors = [self.errors[row] for row in np.flatnonzero(rows_N)]
        return UnreadableRows(self.ids.filter(rows_N), self.sources.filter(rows_N), errors)


@dataclass(frozen=True)
class Shard:
    """One file of a dataset as it was read: what an index compares to notice a change.

    rows: how many of its rows are among the N, in the order of the shards.
    """

    name: str
    file_bytes: int
    mtime_ns: int
    rows: int


@dataclass(frozen=True, eq=False)
class DescriptorSet:
    """The images of a dataset that have a descriptor, in the order in which they were embedded.

    descriptors: (N, D) in the stored dtype. columns: arrays of N: `width`, `height` (pixels),
    `file_bytes`, `mtime_ns`, `frames` as int64 (0 where unknown), `content` as int64 (-1 where
    unknown), `format` as text, `content_hash` and `pixel_hash` as uint8 (N, 16), the latter all 0
    where unknown. superseded: how many older rows of the same images were left out. numbers:
    int64 (N,), each row's number among all rows of the shards, the ones left out too.
    """

    folder: Path
    provenance: Provenance
    descriptors: Descriptor
    ids: Names
    sources: Names
    columns: dict[str, npt.NDArray[Any]]
    unreadable: UnreadableRows
    shards: tuple[Shard, ...]
    superseded: int
    numbers: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows_N: npt.NDArray[np.bool_]) -> DescriptorSet:
        """Return the images that a mask keeps; the unreadable ones stay as they are."""
        if rows_N.all():
            return self
        return replace(
            self,
            descriptors=self.descriptors[rows_N],
            ids=self.ids.filter(rows_N),
            sources=self.sources.filter(rows_N),
            columns={name: values[rows_N] for name, values in self.columns.items()},
            numbers=self.numbers[rows_N],
        )

    def path(self, row: int) -> str:
        """Return where image `row` lay when it was embedded."""
        return image_path(self.sources[row], self.ids[row])


def image_path(source: str, id: str) -> str:
    """Return where an image lay when it was embedded."""
    # a container may hold an absolute name, which is no path of this machine
    return f"{source.rstrip('/')}/{id}" if source else id


def read_descriptors(
    folder: str | Path,
    *,
    columns: Sequence[str] = COLUMNS,
    post: DescriptorTransform | None = None,
    of_length_1: bool = False,
) -> DescriptorSet:
    """Read the newest row of each image.

    Args: folder: here, or the URL of one on a server. columns: which of `COLUMNS` to read. post:
        applied to each shard as it is read. of_length_1: refuse descriptors that are not, before
        that.
    Raises: StoreError: no shard in `folder` (says whether it holds images), a damaged one,
        shards that cannot be compared, or `post` was learned from others than these.
    Limits: memory is the result, the names of all rows, and one shard.
    """
    folder = place(folder)
    paths = existing_shards(folder)
    provenance = common_provenance(paths)
    applied = post.applied_to(provenance) if post else provenance
    table, starts = read_rows(paths, [*NAME_COLUMNS, "status", "error", *columns])
    newest = newest_rows(table)
    readable = _equals(table["status"], "ok")
    masks = np.split(newest & readable, starts[1:-1])
    kept = table.filter(pa.array(newest & readable))
    failed = table.filter(pa.array(newest & ~readable))
    return DescriptorSet(
        folder=folder,
        provenance=applied,
        descriptors=_descriptors(paths, masks, provenance, post, of_length_1),
        **arrays_of(kept, columns),
        unreadable=UnreadableRows(
            Names(names_from_columns(failed, "id")),
            _sources(failed),
            [error or "unreadable" for error in failed["error"].to_pylist()],
        ),
        shards=tuple(_shard(path, mask) for path, mask in zip(paths, masks, strict=True)),
        superseded=int(len(newest) - newest.sum()),
        numbers=np.flatnonzero(newest & readable),
    )


def read_comparable(
    folder: Path, *, columns: Sequence[str] = COLUMNS, post: DescriptorTransform | None = None
) -> DescriptorSet:
    """Read a dataset whose rows can be compared by cosine; otherwise as `read_descriptors`.

    Raises: StoreError: it holds another output of the network than descriptors, or some that are
        not of unit length. NoImagesError: none of its images could be read.
    """
    stored = read_descriptors(folder, columns=columns, post=post, of_length_1=True)
    refuse_other_outputs(folder, stored.provenance)
    if not len(stored):
        what = f"nothing of {folder} can be read: {counted(len(stored.unreadable), 'images')}"
        raise NoImagesError(what, "run sscd embed on images, or name another dataset")
    return stored


def refuse_unlike(one: DescriptorSet, other: DescriptorSet) -> None:
    """Raise StoreError unless two sets can be compared."""
    if contrast := difference(one.provenance, other.provenance):
        what = f"{one.folder} and {other.folder} cannot be compared: {contrast}"
        raise StoreError(what, "embed both with the same --model")


def stream_comparable(folder: Path) -> tuple[Provenance, Iterator[Descriptor]]:
    """Return what made a dataset, and the descriptors of one shard after the other.

    Older rows of an image that was embedded again are among them: finding them would take the
    names of all rows, and so memory is one shard's, whatever the dataset.
    Raises: as `read_comparable`, on the way too.
    """
    paths = existing_shards(folder)
    provenance = common_provenance(paths)
    refuse_other_outputs(folder, provenance)
    return provenance, (readable_rows(path, provenance)[1] for path in paths)


def readable_rows(path: Path, provenance: Provenance) -> tuple[npt.NDArray[np.int64], Descriptor]:
    """Return the numbers within a shard of the rows that have a descriptor, and those."""
    table = read_shard(path, ["status", "descriptor"])
    values = descriptor_values(table["descriptor"], provenance.dimensions)
    rows = np.flatnonzero(_equals(table["status"], "ok"))
    _check_lengths(path, provenance, values[rows])
    return rows, values[rows]


def _check_lengths(path: Path, provenance: Provenance, rows: Descriptor) -> None:
    """Raise StoreError unless the descriptors of a shard are of unit length."""
    if provenance.output_kind != "descriptor":
        return
    for start in range(0, len(rows), _CHECKED_AT_ONCE):
        some = rows[start : start + _CHECKED_AT_ONCE].astype(np.float32)
        squares = np.einsum("ND,ND->N", some, some)
        wrong = np.flatnonzero(~(np.abs(squares - 1) < _OFF_UNIT))  # NaN is wrong, too
        if len(wrong):
            what = f"{path} is damaged: a descriptor's length is {squares[wrong[0]] ** 0.5:.3g}"
            raise StoreError(f"{what}, not 1", "delete it and run sscd embed again")


def refuse_other_outputs(folder: Path, provenance: Provenance) -> None:
    """Refuse what has no cosine similarity. Raises: StoreError: other outputs of a network."""
    if provenance.output_kind != "descriptor":
        raise StoreError(
            f"{folder} holds {provenance.output_kind} rows, which no threshold fits",
            "embed into another folder without --output-kind",
        )


def read_rows(
    paths: Sequence[Path], columns: Sequence[str]
) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """Read columns of all shards: the rows in order, and where each shard starts and the last ends.

    Raises: StoreError: a shard is damaged or cannot be read.
    """
    tables = [read_shard(path, columns).replace_schema_metadata() for path in paths]
    starts = np.cumsum([0, *(len(table) for table in tables)], dtype=np.int64)
    return pa.concat_tables(tables), starts


def newest_rows(table: pa.Table) -> npt.NDArray[np.bool_]:
    """Mark the last row of each (source, id). The table needs the four columns of names."""
    keys, ids = _codes(names_from_columns(table, "id"))
    sources, distinct = _codes(names_from_columns(table, "source"))
    if len(distinct) > 1:
        keys, ids = _codes(pa.chunked_array([pa.array(sources * len(ids) + keys)]))
    rows = np.arange(len(keys))
    last = np.empty(len(ids), np.int64)
    last[keys] = rows  # of repeated keys, NumPy keeps the last
    newest: npt.NDArray[np.bool_] = last[keys] == rows
    return newest


def _codes(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], pa.Array]:
    """Number the distinct values of a column: each row's number, and the values."""
    chunks = column.dictionary_encode().unify_dictionaries().chunks
    if not chunks:
        return np.empty(0, np.int64), pa.array([], column.type)
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in chunks])
    return codes.astype(np.int64), chunks[0].dictionary


def arrays_of(table: pa.Table, columns: Sequence[str] = COLUMNS) -> dict[str, Any]:
    """Return the fields of a `DescriptorSet` that hold names and columns, from rows of shards."""
    return {
        "ids": Names(names_from_columns(table, "id")),
        "sources": _sources(table),
        "columns": {name: _column(name, table[name]) for name in columns},
    }


def _sources(table: pa.Table) -> Names:
    return Names(names_from_columns(table, "source").dictionary_encode())


def _descriptors(
    paths: Sequence[Path],
    masks: Sequence[npt.NDArray[np.bool_]],
    provenance: Provenance,
    post: DescriptorTransform | None,
    of_length_1: bool,
) -> Descriptor:
    """Fill one array shard by shard with the rows that count, post-processed if asked for."""
    total = sum(int(mask.sum()) for mask in masks)
    dtype = "float32" if post else provenance.dtype
    width = post.dimensions if post else provenance.dimensions
    filled: Descriptor = np.empty((total, width), dtype)
    start = 0
    for path, mask in zip(paths, masks, strict=True):
        if not mask.any():
            continue
        column = read_shard(path, ["descriptor"])["descriptor"]
        if len(column) != len(mask):
            raise StoreError(f"{path} changed while it was read", "run the same command again")
        stop = start + int(mask.sum())
        rows = descriptor_values(column, provenance.dimensions)[mask]
        if of_length_1:
            _check_lengths(path, provenance, rows)
        filled[start:stop] = post.apply(rows) if post else rows
        start = stop
    return filled


def _column(name: str, column: pa.ChunkedArray) -> npt.NDArray[Any]:
    if name == "format":
        return _texts(column.fill_null(""))
    if name in ("content_hash", "pixel_hash"):
        return _hashes(column.fill_null(bytes(HASH_BYTES)))
    values: npt.NDArray[Any] = column.fill_null(-1 if name == "content" else 0).to_numpy()
    return values.astype(np.int64, copy=False)


def _hashes(column: pa.ChunkedArray) -> npt.NDArray[np.uint8]:
    """Return fixed-size binary values as bytes, (rows, 16)."""
    hashes = np.empty((len(column), HASH_BYTES), np.uint8)
    start = 0
    for chunk in column.chunks:
        flat = np.frombuffer(chunk.buffers()[1], np.uint8)
        rows = flat[: len(flat) // HASH_BYTES * HASH_BYTES].reshape(-1, HASH_BYTES)
        hashes[start : start + len(chunk)] = rows[chunk.offset : chunk.offset + len(chunk)]
        start += len(chunk)
    return hashes


def _texts(column: pa.ChunkedArray) -> npt.NDArray[np.str_]:
    """Return the texts of a column with few distinct values as a NumPy array."""
    codes, texts = _codes(column)
    return np.array(texts.to_pylist(), np.str_)[codes]


def _equals(column: pa.ChunkedArray, text: str) -> npt.NDArray[np.bool_]:
    import pyarrow.compute as pc

    mask: npt.NDArray[np.bool_] = pc.equal(column, text).to_numpy()
    return mask


def _shard(path: Path, mask: npt.NDArray[np.bool_]) -> Shard:
    try:
        stat = path.stat()
    except OSError as error:
        raise unreadable_file(path, error) from error
    return Shard(path.name, stat.st_size, stat.st_mtime_ns, int(mask.sum()))
