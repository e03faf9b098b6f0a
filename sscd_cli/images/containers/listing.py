"""Lists that name image files: CSV, TSV, JSON Lines, JSON arrays, COCO, plain text.

A name is relative to the folder of its list; the image's id is the name, its source that folder,
so that an image is the same one in two lists, and in its folder.
"""

# names stay strings, as in sources.py
# ruff: noqa: PTH120

from __future__ import annotations

import codecs
import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePosixPath
from typing import IO, Any, TextIO

from sscd_cli.errors import SscdError, UsageError
from sscd_cli.images.containers.packing import opened, without_packing
from sscd_cli.images.containers.written_out import is_written_out
from sscd_cli.images.refs import ImageRef, NotImagesError, image_column
from sscd_cli.images.signatures import is_image_name
from sscd_cli.storage.servers import exists, is_url, join, open_binary, without_file_scheme
from sscd_cli.text import from_json

TABLES = {".csv": ",", ".tsv": "\t"}
LINES = (".jsonl", ".ndjson")
NAMES = ".txt"
JSON = ".json"
MOST_CHARACTERS = 64 << 20  # of a line or a cell, so that no file fills the memory
MOST_LABELLED = 1 << 14  # characters of a path and its labels
MOST_LINES = 100_000  # of one row
BOM = "\ufeff"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # what PowerShell begins a list with
JsonRow = dict[str, Any] | str
# what a row of JSON calls the file, where it describes an image by a record
KEYS = ("path", "file_name", "filename", "file", "url", "image")


class NamelessError(SscdError):
    """Some rows of a list name no image."""

    def __init__(self, path: str, rows: list[int]) -> None:
        what, fix = f"row {rows[0]} of {path} names no image", "fill it in, or drop it"
        if (count := len(rows)) > 1:
            what = f"{count:,} rows of {path} name no image, the first is row {rows[0]}"
            fix = "fill them in, or drop them"
        super().__init__(what, fix)


@dataclass(frozen=True, slots=True)
class ListRow:
    """A row of a list as it stands there, with the images that it names: a header names none.

    without: makes the text of the same row without some names; None where each row is one image.
    """

    text: str
    names: tuple[str, ...] = ()
    without: Callable[[Set[str]], str] | None = None


def is_listing(source: str) -> bool:
    """Whether a source's name is that of a list of images, packed or not."""
    return extension_of(source) in {*TABLES, *LINES, NAMES, JSON}


def extension_of(path: str) -> str:
    """Return the extension that tells the kind of a list: ".csv" of `a.csv.gz`."""
    return os.path.splitext(without_packing(path.lower()))[1]  # noqa: PTH122


def iter_listing(path: str, column: str) -> Iterator[ImageRef]:
    """Name the images of a list in its order.

    Args: column: of the names, "" to find it (COCO's is `file_name`).
    Raises: OSError, ValueError: the list cannot be read. SscdError: it names no images.
        NamelessError: after all images, some of its rows name none.
    """
    folder = os.path.dirname(path)
    nameless: list[int] = []
    for number, record in enumerate(iter_records(path, column), 1):
        if "" in record.names:
            nameless.append(number)
        yield from (named_image(folder, name) for name in record.names if name)
    if nameless:
        raise NamelessError(path, nameless)


def named_image(folder: str, name: str) -> ImageRef:
    """Return the image that a list in `folder` names so."""
    name = without_file_scheme(name)
    if is_url(name):
        return ImageRef(name, "", name)
    id = str(PurePosixPath(name))
    if id.startswith("/") and not is_url(folder):
        return ImageRef(id, "", name)
    return ImageRef(id, folder, join(folder, name))


def iter_records(path: str, column: str) -> Iterator[ListRow]:
    """Yield the rows of a list one by one; JSON is read whole, of COCO the images are the rows.

    An empty name stands where a row should have one. Raises: as `iter_listing`.
    """
    if extension_of(path) != JSON:
        yield from _iter_rows(path, column)
        return
    found = read_json(path)
    if isinstance(found, list):
        yield from _of_rows(path, (("", row) for row in found), column)
    else:
        yield from (ListRow("", (image["file_name"],)) for image in found["images"])


def read_json(path: str) -> dict[str, Any] | list[JsonRow]:
    """Read COCO or an array of rows: about six times its size in memory.

    Raises: as `iter_listing`.
    """
    with _unpacked(path) as file:
        found: Any = from_json(file.read())
    if found and isinstance(found, list) and all(isinstance(row, dict | str) for row in found):
        return found
    images = found.get("images") if isinstance(found, dict) else None
    if not isinstance(images, list) or not all(map(_is_coco_image, images)):
        what = f"{path} is no COCO file: its images have no file_name; nor an array of rows"
        raise SscdError(what, "name a list of images in COCO's format, CSV or JSON Lines")
    return {**found}


def _is_coco_image(image: object) -> bool:
    return isinstance(image, dict) and isinstance(image.get("file_name"), str)


def _iter_rows(path: str, column: str) -> Iterator[ListRow]:
    extension = extension_of(path)
    ends = "\n" if extension == NAMES else ""  # "": a carriage return ends a line, too
    with (
        _unpacked(path) as stream,
        io.TextIOWrapper(stream, _encoding(stream), "surrogateescape", newline=ends) as file,
    ):
        lines = _lines(file)
        if extension == NAMES:
            yield from _of_names(path, lines)
        elif extension in LINES:
            yield from _of_lines(path, lines, column)
        else:
            yield from _of_table(path, lines, column, TABLES[extension])


@contextmanager
def _unpacked(path: str) -> Iterator[IO[bytes]]:
    """Open a list, packed or not, whatever its name says."""
    with open_binary(path) as file:
        if not file.seekable():
            yield file
            return
        with opened(file) as stream:
            yield stream


def _encoding(stream: IO[bytes]) -> str:
    if not stream.seekable():
        return "utf-8"
    start = stream.read(2)
    stream.seek(0)
    return "utf-16" if start in UTF_16 else "utf-8"


def _lines(file: TextIO) -> Iterator[str]:
    """Yield the lines of a file with their ends. Raises: ValueError: one is too long."""
    number = 0
    while line := file.readline(MOST_CHARACTERS + 1):
        number += 1
        if len(line) > MOST_CHARACTERS:
            raise ValueError(f"line {number} is longer than {MOST_CHARACTERS >> 20} MiB")
        yield line


def _of_names(path: str, lines: Iterable[str]) -> Iterator[ListRow]:
    """Read a list of one name a line, or of names with numbers behind them, as labels.

    Its first line tells which. Raises: SscdError: that names no image.
    """
    folder = os.path.dirname(path)
    is_list = is_labelled = False
    for text in lines:
        name = text.removesuffix("\n").removesuffix("\r")
        name = name if is_list else name.removeprefix(BOM)
        if name and not is_list and not (is_name(name) or _is_there(folder, name)):
            is_labelled = bool(_unlabelled(name))
            if not is_labelled:
                what = f"{path} is no list of images: its first line names none"
                raise SscdError(what, "name an image, or a list of one path a line")
        is_list = is_list or bool(name)
        name = (is_labelled and _unlabelled(name)) or name
        yield ListRow(text, (name,) if name else ())


def _unlabelled(line: str) -> str:
    """Return the name of an image before the numbers that end a line; "" if there is none."""
    parts = [line] if len(line) <= MOST_LABELLED else []
    while parts and not is_name(parts[0]):
        parts = parts[0].rsplit(maxsplit=1)
        if len(parts) == 1 or not parts[1].lstrip("+-").replace(".", "", 1).isdecimal():
            return ""
    return parts[0] if parts else ""


def _of_lines(path: str, lines: Iterable[str], column: str) -> Iterator[ListRow]:
    def rows() -> Iterator[tuple[str, JsonRow | None]]:
        for number, text in enumerate(lines, 1):
            line = text.removeprefix(BOM) if number == 1 else text
            yield text, _json_row(line, number) if line.strip() else None

    return _of_rows(path, rows(), column)


def _of_rows(
    path: str, rows: Iterable[tuple[str, JsonRow | None]], column: str
) -> Iterator[ListRow]:
    """Read rows of JSON, each with its text. Raises: UsageError: none has a column of names."""
    search = _Search(path, column)
    for text, row in rows:
        if row is None:
            yield ListRow(text)
        elif isinstance(row, str):
            yield ListRow(text, (row,))
        else:
            yield _json_record(text, row, search.found_in(row))
    search.end()


def _json_row(line: str, number: int) -> JsonRow:
    try:
        row: JsonRow = from_json(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number}, column {error.colno}: {error.msg}") from None
    if not isinstance(row, dict | str):
        raise ValueError(f"line {number} is neither a JSON object nor a name")
    return row


def _json_record(text: str, row: dict[str, Any], column: str) -> ListRow:
    """Return what a row says of one image, or of the images in an array."""
    value = row.get(column)
    if not isinstance(value, list):
        return ListRow(text, (named(value),))

    def without(names: Set[str]) -> str:
        kept = [entry for entry in value if named(entry) not in names]
        end = text[len(text.rstrip("\r\n")) :]
        return json.dumps({**row, column: kept}, ensure_ascii=False) + end

    return ListRow(text, tuple(map(named, value)), without)


def named(value: object) -> str:
    """Return the name in a value of JSON, which may be a record; "" if there is none."""
    if isinstance(value, dict):
        value = next((value[key] for key in KEYS if isinstance(value.get(key), str)), "")
    return value if isinstance(value, str) else ""


def _of_table(path: str, lines: Iterable[str], column: str, delimiter: str) -> Iterator[ListRow]:
    taken: list[str] = []  # the lines of one row, for a quoted field may span some
    csv.field_size_limit(MOST_CHARACTERS)
    lines = iter(lines)
    first = next(lines, "")
    noted = _noting(chain((first,), lines), taken)
    rows = csv.reader(noted, delimiter=_delimiter(first, delimiter), strict=True)
    try:
        header = next(filter(None, rows), [])
        folder = os.path.dirname(path)
        here = [at for at, cell in enumerate(header) if is_name(cell) and _is_there(folder, cell)]
        at = here[0] if here and not column else None  # a first row that names an image: no header
        yield ListRow(_take(taken), () if at is None else (header[at],))
        search = _Search(path, column)
        for row in rows:
            if at is None and row:
                name = search.found_in(dict(zip(header, row, strict=False)))
                at = header.index(name) if name else None
            names = (row[at] if at is not None and at < len(row) else "",) if row else ()
            yield ListRow(_take(taken), names)
        search.end()
    except csv.Error as error:
        raise ValueError(f"line {rows.line_num}: {error}") from error


def _delimiter(first: str, usual: str) -> str:
    """Return what parts the cells of a table: if its first line lacks the usual, one of `;\t|`."""
    return next((mark for mark in (usual, ";", "\t", "|") if mark in first), usual)


def _is_there(folder: str, name: str) -> bool:
    """Whether a name in a list leads to a file."""
    try:
        return exists(named_image(folder, name).path)
    except (OSError, ValueError):
        return False


def _noting(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    """Pass the lines on, the first without its mark of UTF-8, after which a quote opens no cell.

    Raises: ValueError: one row, left open by a quote, takes too many.
    """
    for number, line in enumerate(lines):
        taken.append(line)
        if len(taken) > MOST_LINES:
            raise csv.Error(f"a row of more than {MOST_LINES:,} lines: a quote is left open")
        yield line if number else line.removeprefix(BOM)


def _take(taken: list[str]) -> str:
    text = "".join(taken)
    taken.clear()
    return text


class _Search:
    """For the column of names: by what the first row with an image holds, in which rows follow."""

    def __init__(self, path: str, chosen: str) -> None:
        self._path = path
        self._chosen = chosen
        self._found = ""
        self._refused: NotImagesError | None = None

    def found_in(self, row: dict[str, Any]) -> str:
        """Return the column; a chosen one may hold anything. "" as long as no row has one.

        Raises: UsageError: several hold names.
        """
        if not self._found:
            try:
                self._found = self._column(row)
            except NotImagesError as error:
                self._refused = self._refused or error
        return self._found

    def _column(self, row: dict[str, Any]) -> str:
        for key in {self._chosen} & row.keys() or row:
            if is_written_out(named(row[key])):
                what = f"column {key} of {self._path} holds images in base64, and no files"
                raise UsageError(what, f"write it as Parquet: {_as_parquet(self._path)}")
        if self._chosen and self._chosen in row:
            return self._chosen
        found = [key for key, value in row.items() if _holds_names(value)]
        others = [key for key in row if key not in found]
        return image_column(self._path, self._chosen, found, others, found or others)

    def end(self) -> None:
        """Raise what was wrong with the first row, if no other was better."""
        if self._refused and not self._found:
            raise self._refused


def _as_parquet(path: str) -> str:
    """Return what to type to make a Parquet file of a list."""
    if (extension := extension_of(path)) == JSON:
        modules, read = "json, pyarrow", f"pyarrow.Table.from_pylist(json.load(open({path!r})))"
    else:
        mark = TABLES.get(extension)
        kind, parsing = ("csv", f"delimiter={mark!r}, ") if mark else ("json", "")
        modules = f"pyarrow.{kind} as a"
        options = (
            f"a.ReadOptions(block_size=1<<30), a.ParseOptions({parsing}newlines_in_values=True)"
        )
        read = f"a.read_{kind}({path!r}, {options})"
    target = f"{path}.parquet"
    words = f"import {modules}, pyarrow.parquet as p; p.write_table({read}, {target!r})"
    return f'python -c "{words}"'


def _holds_names(value: object) -> bool:
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(is_name(named(one)) for one in values)


def is_name(value: str) -> bool:
    """Whether a path or URL ends as those of images do."""
    return is_image_name(value.partition("?")[0] if "://" in value else value)
