"""Parquet files as tables of images, and Arrow files, as `datasets` and `to_feather` save them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from contextlib import ExitStack, closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sscd_cli.images.containers.columns import holds_bytes
from sscd_cli.images.containers.table import BATCH_BYTES, Rewriting, TableContainer, arrow_errors
from sscd_cli.images.refs import DescriptorsError, split_columns
from sscd_cli.storage.files import file_here
from sscd_cli.storage.places import place
from sscd_cli.storage.servers import is_url, open_binary
from sscd_cli.text import FOOTER_KEY

READ_BYTES = 1 << 20
MOST_ROWS = 1 << 16  # at once
FILE_MAGIC = b"ARROW1"  # of Arrow
FEATHER = ".feather"
FEATHER_1 = b"FEA1"
_BEFORE_STREAM = 8  # bytes


def open_parquet(source: str, mtime_ns: int) -> TableContainer:
    """Open a Parquet file, with the columns chosen in `source`. Raises: OSError: it is damaged.

    DescriptorsError: it holds those.
    """
    path = split_columns(source)[0]
    table = ParquetTable(path)
    if FOOTER_KEY in (table.schema.metadata or {}):
        table.close()
        raise DescriptorsError(path)
    return TableContainer(source, table)


class ParquetTable:
    """An open Parquet file, of which a column is read bit by bit."""

    damage: OSError | None = None

    def __init__(self, path: str) -> None:
        with arrow_errors():
            source = open_binary(path) if is_url(path) else path
            # without a buffer, the whole column of a group would be read at once
            how = {"buffer_size": READ_BYTES, "pre_buffer": False}
            self._file = pq.ParquetFile(source, **how)
            self.schema = self._file.schema_arrow
            self._texts = list(_texts(self._file.schema))
            if self._texts:  # a text that rows share is in memory once, too
                known = self._file.metadata
                self._file = pq.ParquetFile(
                    source, metadata=known, read_dictionary=self._texts, **how
                )
        groups = range(self._file.num_row_groups)
        self.counts = [self._file.metadata.row_group(group).num_rows for group in groups]

    def close(self) -> None:
        """Close the file."""
        if hasattr(self, "_file"):
            self._file.close(force=True)

    def batches(self, group: int, column: str) -> Iterator[pa.Array]:
        """Yield a column of a group: no row is larger than all that it stores."""
        stored = self._stored_bytes(group, column)
        if not self.holds_bytes(group, column):  # then many rows are not, either
            stored //= self.counts[group] or 1
        rows = min(MOST_ROWS, max(1, BATCH_BYTES // max(1, stored)))
        for batch in self._file.iter_batches(
            rows, row_groups=[group], columns=[column], use_threads=False
        ):
            yield batch.column(0)

    def holds_bytes(self, group: int, column: str) -> bool:
        """Whether any row of a group may hold an image, and not only name its file."""
        return any(map(self._are_bytes, self._chunks(group, column)))

    def _are_bytes(self, chunk: pq.ColumnChunkMetaData) -> bool:
        if chunk.physical_type != "BYTE_ARRAY" or chunk.path_in_schema in self._texts:
            return False
        nulls = chunk.statistics.null_count if chunk.is_stats_set else None
        return bool(nulls is None or nulls < chunk.num_values)

    def may_claim_too_much(self, group: int) -> bool:
        """Whether a group stores fewer bytes than rows, as no images do."""
        metadata = self._file.metadata.row_group(group)
        return bool(metadata.num_rows > metadata.total_byte_size)

    def _stored_bytes(self, group: int, column: str) -> int:
        """Return the unpacked size of a column; a value that rows share is stored once."""
        sizes = [chunk.total_uncompressed_size for chunk in self._chunks(group, column)]
        return max(1, int(sum(sizes)))

    def _chunks(self, group: int, column: str) -> list[pq.ColumnChunkMetaData]:
        metadata = self._file.metadata.row_group(group)
        chunks = (metadata.column(index) for index in range(metadata.num_columns))
        return [chunk for chunk in chunks if _is_of(chunk.path_in_schema, column)]


def _texts(schema: pq.ParquetSchema) -> Iterator[str]:
    for number in range(len(schema)):
        if schema.column(number).logical_type.type == "STRING":
            yield schema.column(number).path


def _is_of(path: str, column: str) -> bool:
    return path == column or path.startswith(f"{column}.")


def rewrite_parquet(source: str, target: str, removed: Set[str]) -> int:
    """Write `source` to `target` without the images `removed`.

    A row goes with the last of its images; of a row that holds several, only those that are
    removed. Row groups are read and written one by one, those that are left with no row not at
    all; the metadata (the features of a Hugging Face data set among them) and each column's
    compression are kept. A row number that served as an id counts anew.
    Raises: OSError: the file is damaged.
    """
    path, columns = split_columns(source)
    with closing(ParquetTable(path)) as table:
        rewriting = Rewriting(path, table, columns, removed)
    with arrow_errors(), open_binary(path) as stream, pq.ParquetFile(stream) as file:
        groups = (file.read_row_group(g, use_threads=False) for g in range(file.num_row_groups))
        packed = _compression(file.metadata)
        with pq.ParquetWriter(target, rewriting.schema, compression=packed) as writer:
            for kept in rewriting.kept(groups):
                writer.write_table(kept, row_group_size=len(kept))
    return 0


def _compression(metadata: pq.FileMetaData) -> dict[str, str] | str:
    if not metadata.num_row_groups:
        return "snappy"
    group = metadata.row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    names = {"UNCOMPRESSED": "NONE", "LZ4_RAW": "LZ4"}
    return {c.path_in_schema: names.get(c.compression, c.compression) for c in columns}


def open_arrow(source: str, mtime_ns: int) -> TableContainer:
    """Open an Arrow file, with the columns chosen in `source`. Raises: OSError: it is damaged."""
    return TableContainer(source, ArrowTable(split_columns(source)[0]))


class ArrowTable:
    """An Arrow file or stream, mapped into memory: each of its batches is a group of rows.

    One on a server is fetched as a whole. Of a file a batch is unpacked when it is asked for, if
    it is packed; of a stream all are held.
    """

    def __init__(self, path: str) -> None:
        self._held = ExitStack()
        with arrow_errors():
            here: Path = self._held.enter_context(file_here(place(path)))
            mapped = self._held.enter_context(pa.memory_map(str(here)))
            self.is_file = _is_file(mapped)
            begin = _of_file if self.is_file else _of_stream
            self.schema, self._batch, self.counts, self.damage = begin(mapped)
        if self.damage and not self.counts:
            raise self.damage

    def close(self) -> None:
        """Close the file."""
        self._held.close()

    def batches(self, group: int, column: str) -> Iterator[pa.Array]:
        """Yield a column of a group at once: where it is not packed it takes no memory."""
        yield self._batch(group).column(column)

    def rows(self, group: int) -> pa.Table:
        """Return a group with all its columns."""
        return pa.Table.from_batches([self._batch(group)])

    def holds_bytes(self, group: int, column: str) -> bool:
        """Whether any row of a group holds an image, and does not only name its file."""
        return holds_bytes(self._batch(group).column(column))

    def may_claim_too_much(self, group: int) -> bool:
        """Say no: the rows are there."""
        return False


_Batch = Callable[[int], pa.RecordBatch]
_Opened = tuple[pa.Schema, _Batch, list[int], OSError | None]


def _of_file(file: pa.NativeFile) -> _Opened:
    """Return schema, batches and their lengths, and what keeps the rest from being read.

    A file is a stream between a mark and a list of its batches, which is lost if it was cut off.
    """
    try:
        reader = pa.ipc.open_file(file)
    except (pa.ArrowException, OSError):
        file.seek(_BEFORE_STREAM)
        schema, batch, counts, damage = _of_stream(file)
        return schema, batch, counts, damage or OSError("truncated or damaged at its end")
    counts = [len(reader.get_batch(number)) for number in range(reader.num_record_batches)]
    return reader.schema, reader.get_batch, counts, None


def _of_stream(stream: pa.NativeFile) -> _Opened:
    found: list[pa.RecordBatch] = []
    schema, damage = pa.schema([]), None
    try:
        with arrow_errors(), pa.ipc.open_stream(stream) as reader:
            schema = reader.schema
            for batch in reader:
                found.append(batch)  # what came before an error stays
    except OSError as error:
        damage = error
    return schema, found.__getitem__, [len(batch) for batch in found], damage


def _is_file(file: pa.NativeFile) -> bool:
    """Whether it is an Arrow file, and no stream. Raises: OSError: it is of a kind before both."""
    start = file.read(len(FILE_MAGIC))
    file.seek(0)
    if start.startswith(FEATHER_1):
        raise OSError("Feather of version 1: write it again with to_feather of today")
    return bool(start == FILE_MAGIC)


def rewrite_arrow(source: str, target: str, removed: Set[str]) -> int:
    """Write an Arrow file or stream as such, as `rewrite_parquet` does; Feather is packed."""
    path, columns = split_columns(source)
    with closing(ArrowTable(path)) as table:
        if table.damage is not None:
            raise table.damage
        rewriting = Rewriting(path, table, columns, removed)
        groups = map(table.rows, range(len(table.counts)))
        begin = pa.ipc.new_file if table.is_file else pa.ipc.new_stream
        packing = "lz4" if path.lower().endswith(FEATHER) else None
        how = pa.ipc.IpcWriteOptions(compression=packing)
        with arrow_errors(), begin(target, rewriting.schema, options=how) as writer:
            for kept in rewriting.kept(groups):
                writer.write_table(kept)
    return 0
