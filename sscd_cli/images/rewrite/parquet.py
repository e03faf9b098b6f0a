"""A Parquet file without the rows of some images: order, other columns and metadata stay."""

from __future__ import annotations

from collections.abc import Set
from itertools import count, islice

import pyarrow as pa
import pyarrow.parquet as pq

from sscd_cli.images.columns import split_columns
from sscd_cli.images.containers.parquet import arrow_errors
from sscd_cli.storage.servers import open_binary


def rewrite_parquet(source: str, target: str, removed: Set[str]) -> int:
    """Write `source` to `target` without the rows of the images `removed`.

    Row groups are read and written one by one, those that are left with no row not at all; the
    metadata (the features of a Hugging Face data set among them) and each column's compression
    are kept. A row number that served as an id counts anew.
    Raises: OSError: the file is damaged.
    """
    path, columns = split_columns(source)
    numbers = count()
    with arrow_errors(), open_binary(path) as stream, pq.ParquetFile(stream) as file:
        schema = file.schema_arrow
        with pq.ParquetWriter(target, schema, compression=_compression(file.metadata)) as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, use_threads=False)
                if columns.id:
                    keys = table[columns.id].to_pylist()
                else:
                    keys = list(islice(numbers, len(table)))
                kept = table.filter(pa.array([str(key) not in removed for key in keys], pa.bool_()))
                if len(kept):
                    writer.write_table(kept, row_group_size=len(kept))
    return 0


def _compression(metadata: pq.FileMetaData) -> dict[str, str] | str:
    if not metadata.num_row_groups:
        return "snappy"
    group = metadata.row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    names = {"UNCOMPRESSED": "NONE", "LZ4_RAW": "LZ4"}
    return {c.path_in_schema: names.get(c.compression, c.compression) for c in columns}
