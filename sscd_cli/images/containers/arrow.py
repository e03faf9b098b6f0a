"""Arrow files as tables of images, as Hugging Face's `datasets` saves them to disk."""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa

from sscd_cli.images.columns import split_columns
from sscd_cli.images.containers.table import TableContainer, arrow_errors, kept_of
from sscd_cli.storage.files import file_here
from sscd_cli.storage.places import place

FILE_MAGIC = b"ARROW1"


def open_arrow(source: str, mtime_ns: int) -> TableContainer:
    """Open an Arrow file, with the columns chosen in `source`. Raises: OSError: it is damaged."""
    return TableContainer(source, ArrowTable(split_columns(source)[0]))


class ArrowTable:
    """An Arrow file or stream, mapped into memory: each of its batches is a group of rows.

    One on a server is fetched as a whole.
    """

    def __init__(self, path: str) -> None:
        self._held = ExitStack()
        with arrow_errors():
            here: Path = self._held.enter_context(file_here(place(path)))
            mapped = self._held.enter_context(pa.memory_map(str(here)))
            self._batches = _batches(mapped)
        if not self._batches:
            raise OSError("it holds no rows")
        self.schema = self._batches[0].schema
        self.counts = [len(batch) for batch in self._batches]

    def close(self) -> None:
        """Close the file."""
        self._held.close()

    def batches(self, group: int, column: str) -> Iterator[pa.Array]:
        """Yield a column of a group at once, for it takes no memory of its own."""
        yield self._batches[group].column(column)

    def rows(self, group: int) -> pa.Table:
        """Return a group with all its columns."""
        return pa.Table.from_batches([self._batches[group]])

    def may_claim_too_much(self, group: int) -> bool:
        """Say no: the rows are there."""
        return False


def _batches(file: pa.NativeFile) -> list[pa.RecordBatch]:
    is_file = file.read(len(FILE_MAGIC)) == FILE_MAGIC
    file.seek(0)
    if is_file:
        reader = pa.ipc.open_file(file)
        return [reader.get_batch(number) for number in range(reader.num_record_batches)]
    return list(pa.ipc.open_stream(file))


def rewrite_arrow(source: str, target: str, removed: Set[str]) -> int:
    """Write an Arrow file as a stream, as `rewrite_parquet` does."""
    path, columns = split_columns(source)
    table = ArrowTable(path)
    try:
        with arrow_errors(), pa.ipc.new_stream(target, table.schema) as writer:
            groups = map(table.rows, range(len(table.counts)))
            for kept in kept_of(path, table.schema, columns, groups, removed):
                writer.write_table(kept)
    finally:
        table.close()
    return 0
