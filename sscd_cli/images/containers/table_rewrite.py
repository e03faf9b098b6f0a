"""A Parquet or Arrow file without some images: order, other columns and metadata stay."""

from __future__ import annotations

from collections.abc import Iterator, Set
from itertools import count, islice

import pyarrow as pa
import pyarrow.parquet as pq

from sscd_cli.images.columns import Columns, split_columns
from sscd_cli.images.containers.arrow import ArrowTable
from sscd_cli.images.containers.table import arrow_errors, find_images, is_list
from sscd_cli.storage.servers import open_binary


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
            for kept in _kept(path, schema, columns, groups, removed):
                writer.write_table(kept, row_group_size=len(kept))
    return 0


def rewrite_arrow(source: str, target: str, removed: Set[str]) -> int:
    """Write an Arrow file as a stream, as `rewrite_parquet` does."""
    path, columns = split_columns(source)
    table = ArrowTable(path)
    try:
        with arrow_errors(), pa.ipc.new_stream(target, table.schema) as writer:
            groups = map(table.rows, range(len(table.counts)))
            for kept in _kept(path, table.schema, columns, groups, removed):
                writer.write_table(kept)
    finally:
        table.close()
    return 0


def _kept(
    path: str, schema: pa.Schema, columns: Columns, groups: Iterator[pa.Table], removed: Set[str]
) -> Iterator[pa.Table]:
    """Yield what stays of each group, unless nothing does."""
    column = find_images(path, schema, columns.image)
    numbers = count()
    for table in groups:
        if columns.id:
            keys = [str(key) for key in table[columns.id].to_pylist()]
        else:
            keys = [str(number) for number in islice(numbers, len(table))]
        if is_list(schema.field(column).type):
            kept = _without_images(table, column, keys, removed)
        else:
            kept = table.filter(pa.array([key not in removed for key in keys], pa.bool_()))
        if len(kept):
            yield kept


def _without_images(table: pa.Table, column: str, keys: list[str], removed: Set[str]) -> pa.Table:
    """Take images out of the lists of a column, and rows out of which all were taken."""
    lists = [chunk[at] for chunk in table[column].chunks for at in range(len(chunk))]
    rows, values = [], []
    for key, images in zip(keys, lists, strict=True):
        found = images.as_py() or []
        kept = [image for n, image in enumerate(found) if f"{key}/{n}" not in removed]
        stays = bool(kept) or not found
        rows.append(stays)
        if stays:
            values.append(kept if images.is_valid else None)
    at = table.schema.get_field_index(column)
    array = pa.array(values, table.schema.field(column).type)
    return table.filter(pa.array(rows, pa.bool_())).set_column(at, table.schema.field(at), array)


def _compression(metadata: pq.FileMetaData) -> dict[str, str] | str:
    if not metadata.num_row_groups:
        return "snappy"
    group = metadata.row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    names = {"UNCOMPRESSED": "NONE", "LZ4_RAW": "LZ4"}
    return {c.path_in_schema: names.get(c.compression, c.compression) for c in columns}
