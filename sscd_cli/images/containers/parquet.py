"""Parquet files with a column of images: an image's id is its row number, or a chosen column's.

The images are binary values, or structs `{bytes, path}` as Hugging Face's `datasets` writes them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq

from sscd_cli.errors import UsageError, reason_of
from sscd_cli.images.columns import image_column, split_columns
from sscd_cli.images.refs import ImageRef, MissingMemberError
from sscd_cli.storage.servers import open_binary


class ParquetContainer:
    """An open Parquet file.

    Of its row groups a process keeps the last two that it read an image of, and of those the
    column of images alone. Keys of a chosen column take about 150 bytes of memory a row.
    """

    def __init__(self, source: str, mtime_ns: int) -> None:
        self._source = source
        self._path, columns = split_columns(source)
        with arrow_errors():
            self._stream = open_binary(self._path)
            self._file = pq.ParquetFile(self._stream)
        self._id_column = columns.id
        self._image_column = find_images(self._path, self._file.schema_arrow, columns.image)
        groups = range(self._file.num_row_groups)
        self._ends = list(accumulate(self._file.metadata.row_group(g).num_rows for g in groups))

    def __del__(self) -> None:
        if hasattr(self, "_stream"):
            self._stream.close()

    def refs(self) -> Iterator[ImageRef]:
        """Name the images row by row, also those of rows without one, which are unreadable."""
        keys = self._rows or map(str, range(self._file.metadata.num_rows))
        for key in keys:
            yield ImageRef(key, self._source, self._path, key)

    def size(self, ref: ImageRef) -> None:
        """Say nothing, for only reading would tell. Raises: MissingMemberError: no such row."""
        self._row(ref.id)

    def read(self, ref: ImageRef) -> bytes:
        """Return the image of a row. Raises: OSError: the row has none, the file is damaged."""
        row = self._row(ref.id)
        group = bisect_right(self._ends, row)
        start = self._ends[group - 1] if group else 0
        image = _images(self, group)[row - start].as_py()
        data = image["bytes"] if isinstance(image, dict) else image
        if data is None:
            raise OSError("the row holds no image")
        return bytes(data)

    def images(self, group: int) -> pa.ChunkedArray:
        """Return the images of a row group, as binary values or structs of their bytes alone."""
        with arrow_errors():
            is_struct = pa.types.is_struct(self._file.schema_arrow.field(self._image_column).type)
            column = f"{self._image_column}.bytes" if is_struct else self._image_column
            table = self._file.read_row_group(group, columns=[column], use_threads=False)
        return table[self._image_column]

    def _row(self, key: str) -> int:
        if self._id_column:
            row = self._rows.get(key, -1)
        else:
            row = int(key) if key.isascii() and key.isdigit() else -1
        if not 0 <= row < self._file.metadata.num_rows:
            raise MissingMemberError("no such row")
        return row

    @cached_property
    def _rows(self) -> dict[str, int]:
        """The row of each key; none where the row number is the key."""
        if not self._id_column:
            return {}
        if self._id_column not in self._file.schema_arrow.names:
            names = ", ".join(self._file.schema_arrow.names)
            what = f"{self._path} has no column {self._id_column}"
            raise UsageError(what, f"choose one with --id-column ({names})")
        with arrow_errors():
            values = self._file.read(columns=[self._id_column])[self._id_column].to_pylist()
        rows = {str(value): row for row, value in enumerate(values)}
        if len(rows) != len(values) or None in values:
            what = f"column {self._id_column} of {self._path} repeats a value or lacks one"
            raise UsageError(what, "choose another --id-column, or none for the row number")
        return rows


@lru_cache(maxsize=2)
def _images(container: ParquetContainer, group: int) -> pa.ChunkedArray:
    return container.images(group)


def find_images(path: str, schema: pa.Schema, chosen: str) -> str:
    """Return the name of the column of images; Raises: UsageError: none, or not clear which."""
    found = [field.name for field in schema if _holds_images(field.type)]
    others = [field.name for field in schema if field.name not in found]
    return image_column(path, chosen, found, others)


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        at = kind.get_field_index("bytes")
        return at >= 0 and _holds_images(kind.field(at).type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


@contextmanager
def arrow_errors() -> Iterator[None]:
    """Turn whatever Arrow says of a damaged file into an OSError of one line."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise
        raise OSError(reason_of(error)) from error
