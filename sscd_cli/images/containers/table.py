"""Tables with a column of images: an image's id is its row number, or a chosen column's value.

The images are binary values, structs `{bytes, path}` as Hugging Face's `datasets` writes them,
texts in base64, names of files relative to the folder of the table, or lists of these, whose ids
are `row/0`, `row/1`, and so on. A struct without bytes names a file, too.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from functools import cached_property, lru_cache
from itertools import accumulate, count, islice
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from sscd_cli.errors import UsageError, reason_of
from sscd_cli.images.containers.columns import Column, find_column
from sscd_cli.images.containers.listing import named
from sscd_cli.images.containers.written_out import image_in, is_written_out
from sscd_cli.images.refs import (
    Columns,
    ElsewhereError,
    ImageRef,
    MissingMemberError,
    Survey,
    split_columns,
)

BATCH_BYTES = 16 << 20
KEPT_BYTES = 64 << 20  # of a group's rows, so that threads may read them out of order
KEPT_GROUPS = 3


class Table(Protocol):
    """A file of rows in groups, read from the first row of a group on.

    damage: what keeps the groups after the last one from being read.
    """

    schema: pa.Schema
    damage: OSError | None

    @property
    def counts(self) -> Sequence[int]:
        """How many rows each group claims to hold."""

    def batches(self, group: int, column: str) -> Iterator[pa.Array]:
        """Yield a column of a group, in arrays of about `BATCH_BYTES`, or of one row."""

    def holds_bytes(self, group: int, column: str) -> bool:
        """Whether any row of a group may hold an image, and not only name its file."""

    def may_claim_too_much(self, group: int) -> bool:
        """Whether a group is too small in bytes for its rows, so that they must be counted."""

    def close(self) -> None:
        """Close the file."""


class TableContainer:
    """The images of an open table.

    Its rows are decoded in their order, once for all threads: of the groups that were read last,
    the last rows are kept. Keys of a chosen column take about 150 bytes of memory a row.
    """

    def __init__(self, source: str, table: Table) -> None:
        self._source = source
        self._path, columns = split_columns(source)
        self._table = table
        self._lock = threading.RLock()
        self._id_column = columns.id
        self._column = find_images(self._path, table, columns.image)
        self._ends = list(accumulate(table.counts))
        self._damage: OSError | None = None
        self._naming: dict[int, bool] = {}
        self._readings = 0

    def __del__(self) -> None:
        if hasattr(self, "_table"):
            self._table.close()

    def refs(self, survey: Survey | None = None) -> Iterator[ImageRef]:
        """Name the images row by row, also those of rows without one, which are unreadable.

        Raises: OSError: a group ends before the number of its rows; as soon as that shows, here or
        where one of them is read. The file ends before its last group.
        """
        keys = iter(self._rows) if self._id_column else None
        for group, length in enumerate(self._table.counts):
            start = self._ends[group] - length
            for row, images in enumerate(self._images_in(group), start):
                key = str(row) if keys is None else next(keys)
                for id in [key] if images is None else [f"{key}/{n}" for n in range(images)]:
                    yield ImageRef(id, self._source, self._path, id)
                if self._damage is not None:
                    raise self._damage
        if self._table.damage is not None:
            raise self._table.damage

    def _images_in(self, group: int) -> Iterator[int | None]:
        """Yield the length of the list of images in each row; None where a row is one image."""
        count = self._table.counts[group]
        if not self._column.is_list and not self._table.may_claim_too_much(group):
            yield from (None for _ in range(count))
            return
        found = 0
        for batch in self._batches(group):
            found += len(batch)
            if self._column.is_list:
                yield from (length or 0 for length in pc.list_value_length(batch).to_pylist())
            else:
                yield from (None for _ in range(len(batch)))
        if found != count:
            raise OSError(_short(group, found, count))

    def _batches(self, group: int) -> Iterator[pa.Array]:
        batches = self._table.batches(group, self._column.name)
        while True:
            with self._lock, arrow_errors():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def size(self, ref: ImageRef) -> None:
        """Say nothing, for only reading would tell.

        Raises: MissingMemberError: no such row. ElsewhereError: the row names a file.
        """
        row, number = self._place(ref.id)
        if self._names_files(bisect_right(self._ends, row)):
            self._refuse_name(self._image(row, number))

    def _names_files(self, group: int) -> bool:
        """Whether the rows of a group name files, so that reading one takes little."""
        if group not in self._naming:
            texts = self._column.may_hold_paths and not self._table.holds_bytes(
                group, self._column.name
            )
            first = self._column.first_text(self._batches(group)) if texts else ""
            self._naming[group] = bool(first) and not is_written_out(first)
        return self._naming[group]

    def read(self, ref: ImageRef, max_bytes: int) -> bytes:
        """Return an image. Raises: OSError, ValueError: the row has none, the file is damaged.

        ElsewhereError: the row names a file.
        """
        image = self._image(*self._place(ref.id))
        data = image.get("bytes") if isinstance(image, dict) else image
        if data is not None and not isinstance(data, str):
            return bytes(data)
        if (data := image_in(named(image))) is not None:
            return data
        self._refuse_name(image)
        raise OSError("the row holds no image")

    def _image(self, row: int, number: int | None) -> Any:
        """Return what a row holds, or one of the several. Raises: as `read`."""
        with self._lock:
            image = self._value(row)
        if number is None:
            return image
        if image is None or number >= len(image):
            raise MissingMemberError("no such image in the row")
        return image[number]

    def _refuse_name(self, image: Any) -> None:
        """Raise ElsewhereError if that is the name of a file."""
        if (name := named(image)) and not is_written_out(name):
            raise ElsewhereError(name)

    def _value(self, row: int) -> Any:
        group = bisect_right(self._ends, row)
        count = self._table.counts[group]
        at = row - (self._ends[group] - count)
        window = _window(self, group, self._readings)
        if at < window.first:  # it is kept no longer
            self._readings += 1
            window = _window(self, group, self._readings)
        value = window.value(at)
        if value is None and window.ended and at >= window.end:
            self._damage = OSError(_short(group, window.end, count))
            raise self._damage
        return None if value is None else value.as_py()

    def _place(self, id: str) -> tuple[int, int | None]:
        """Return the row of an image, and which of its images it is, if it may hold several."""
        key, slash, number = id.rpartition("/") if self._column.is_list else (id, "", "")
        if self._column.is_list and not (slash and number.isascii() and number.isdigit()):
            raise MissingMemberError("no such row")
        if self._id_column:
            row = self._rows.get(key, -1)
        else:
            row = int(key) if key.isascii() and key.isdigit() else -1
        if not self._ends or not 0 <= row < self._ends[-1]:
            raise MissingMemberError("no such row")
        return row, int(number) if self._column.is_list else None

    @cached_property
    def _rows(self) -> dict[str, int]:
        """The row of each key of the chosen column, in their order."""
        if self._id_column not in self._table.schema.names:
            names = ", ".join(self._table.schema.names)
            what = f"{self._path} has no column {self._id_column}"
            raise UsageError(what, f"choose one with --id-column ({names})")
        values: list[Any] = []
        with self._lock, arrow_errors():
            for group in range(len(self._table.counts)):
                for batch in self._table.batches(group, self._id_column):
                    values += batch.to_pylist()
        rows = {str(value): row for row, value in enumerate(values)}
        if len(rows) != len(values) or None in values:
            what = f"column {self._id_column} of {self._path} repeats a value or lacks one"
            raise UsageError(what, "choose another --id-column, or none for the row number")
        return rows

    def window(self, group: int) -> _Window:
        """Begin to read a group."""
        return _Window(self._batches(group))


@lru_cache(maxsize=KEPT_GROUPS)
def _window(container: TableContainer, group: int, reading: int) -> _Window:
    return container.window(group)


class _Window:
    """The last rows of those of a group that have been read; it reads on as it is asked.

    first, end: the rows that are kept, `end` not counted. ended: whether there are no more.
    """

    def __init__(self, batches: Iterator[pa.Array]) -> None:
        self._batches = batches
        self._kept: deque[pa.Array] = deque()
        self._bytes = 0
        self._damage: Exception | None = None
        self.first = self.end = 0
        self.ended = False

    def value(self, row: int) -> pa.Scalar | None:
        """Return a row's value; None past the end."""
        while row >= self.end and not self.ended:
            self._read_on()
        at = row - self.first
        for batch in self._kept:
            if at < len(batch):
                return batch[at]
            at -= len(batch)
        return None

    def _read_on(self) -> None:
        if self._damage is not None:  # what failed once would look as if it had ended
            raise self._damage
        try:
            batch = next(self._batches, None)
        except Exception as error:
            self._damage = error
            raise
        if batch is None:
            self.ended = True
            return
        self._kept.append(batch)
        self.end += len(batch)
        self._bytes += batch.get_total_buffer_size()
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            old = self._kept.popleft()
            self.first += len(old)
            self._bytes -= old.get_total_buffer_size()


def _short(group: int, found: int, claimed: int) -> str:
    return f"row group {group} ends after {found:,} of the {claimed:,} rows that it claims"


def find_images(path: str, table: Table, chosen: str) -> Column:
    """Return the column of images of a table; any of one without rows.

    Raises: as `columns.find_column`.
    """
    if not any(table.counts) and len(table.schema):
        return Column(table.schema.field(0))
    groups = range(len(table.counts))
    with arrow_errors():
        return find_column(
            *(path, table.schema, chosen),
            lambda name: (batch for group in groups for batch in table.batches(group, name)),
        )


@contextmanager
def arrow_errors() -> Iterator[None]:
    """Turn whatever Arrow says of a damaged file into an OSError of one line."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise
        raise OSError(_in_our_words(reason_of(error))) from error


def _in_our_words(reason: str) -> str:
    if "magic bytes not found" in reason:
        return "truncated, or not a Parquet file"
    return reason


class Rewriting:
    """What stays of a table without the images of some keys.

    schema: that of the file, but lists of a fixed length may be shorter.
    """

    def __init__(self, path: str, table: Table, columns: Columns, removed: Set[str]) -> None:
        self._column = find_images(path, table, columns.image)
        self._id_column = columns.id
        self._removed = removed
        self._at = table.schema.get_field_index(self._column.name)
        field = table.schema.field(self._at)
        self.schema = table.schema.set(self._at, field.with_type(self._column.resizable))

    def kept(self, groups: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Yield what stays of each group, unless nothing does."""
        numbers = count()
        for table in groups:
            if self._id_column:
                keys = [str(key) for key in table[self._id_column].to_pylist()]
            else:
                keys = [str(number) for number in islice(numbers, len(table))]
            if self._column.is_list:
                kept = self._without_images(table, keys)
            else:
                kept = _rows(table, [key not in self._removed for key in keys])
            if len(kept):
                yield kept

    def _without_images(self, table: pa.Table, keys: list[str]) -> pa.Table:
        """Take images out of the lists of a column, and rows out of which all were taken."""
        lists = [chunk[at] for chunk in table[self._at].chunks for at in range(len(chunk))]
        rows, values = [], []
        for key, images in zip(keys, lists, strict=True):
            found = images.as_py() or []
            kept = [image for n, image in enumerate(found) if f"{key}/{n}" not in self._removed]
            stays = bool(kept) or not found
            rows.append(stays)
            if stays:
                values.append(kept if images.is_valid else None)
        field = self.schema.field(self._at)
        return _rows(table, rows).set_column(self._at, field, pa.array(values, field.type))


def _rows(table: pa.Table, stays: list[bool]) -> pa.Table:
    """Return some rows of a table, also where Arrow cannot filter: texts and bytes as views."""
    try:
        return table.filter(pa.array(stays, pa.bool_()))
    except pa.ArrowNotImplementedError:
        runs = [(at, stay) for at, stay in enumerate(stays) if not at or stay != stays[at - 1]]
        ends = [*(at for at, _ in runs[1:]), len(stays)]
        kept = [
            table.slice(at, end - at) for (at, stay), end in zip(runs, ends, strict=True) if stay
        ]
        return pa.concat_tables(kept or [table.slice(0, 0)])
