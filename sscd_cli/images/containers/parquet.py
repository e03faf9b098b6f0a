"""Parquet files as tables of images."""

from __future__ import annotations

from collections.abc import Iterator, Set

import pyarrow as pa
import pyarrow.parquet as pq

from sscd_cli.images.columns import split_columns
from sscd_cli.images.containers.table import BATCH_BYTES, TableContainer, arrow_errors, kept_of
from sscd_cli.images.refs import DescriptorsError
from sscd_cli.storage.servers import is_url, open_binary
from sscd_cli.text import FOOTER_KEY

READ_BYTES = 1 << 20


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

    def __init__(self, path: str) -> None:
        with arrow_errors():
            source = open_binary(path) if is_url(path) else path
            # without a buffer, the whole column of a group would be read at once
            self._file = pq.ParquetFile(source, buffer_size=READ_BYTES, pre_buffer=False)
        groups = range(self._file.num_row_groups)
        self.schema = self._file.schema_arrow
        self.counts = [self._file.metadata.row_group(group).num_rows for group in groups]

    def close(self) -> None:
        """Close the file."""
        if hasattr(self, "_file"):
            self._file.close(force=True)

    def batches(self, group: int, column: str) -> Iterator[pa.Array]:
        """Yield a column of a group: no row is larger than all that it stores."""
        rows = max(1, BATCH_BYTES // self._stored_bytes(group, column))
        for batch in self._file.iter_batches(
            rows, row_groups=[group], columns=[column], use_threads=False
        ):
            yield batch.column(0)

    def may_claim_too_much(self, group: int) -> bool:
        """Whether a group stores fewer bytes than rows, as no images do."""
        metadata = self._file.metadata.row_group(group)
        return bool(metadata.num_rows > metadata.total_byte_size)

    def _stored_bytes(self, group: int, column: str) -> int:
        """Return the unpacked size of a column; a value that rows share is stored once."""
        metadata = self._file.metadata.row_group(group)
        chunks = (metadata.column(index) for index in range(metadata.num_columns))
        sizes = [c.total_uncompressed_size for c in chunks if _is_of(c.path_in_schema, column)]
        return max(1, int(sum(sizes)))


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
    with arrow_errors(), open_binary(path) as stream, pq.ParquetFile(stream) as file:
        groups = (file.read_row_group(g, use_threads=False) for g in range(file.num_row_groups))
        schema = file.schema_arrow
        with pq.ParquetWriter(target, schema, compression=_compression(file.metadata)) as writer:
            for kept in kept_of(path, schema, columns, groups, removed):
                writer.write_table(kept, row_group_size=len(kept))
    return 0


def _compression(metadata: pq.FileMetaData) -> dict[str, str] | str:
    if not metadata.num_row_groups:
        return "snappy"
    group = metadata.row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    names = {"UNCOMPRESSED": "NONE", "LZ4_RAW": "LZ4"}
    return {c.path_in_schema: names.get(c.compression, c.compression) for c in columns}
