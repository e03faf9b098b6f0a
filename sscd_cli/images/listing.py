"""Lists that name image files: CSV, TSV, JSON Lines, COCO.

A name is relative to the folder of its list; the image's id is the name, its source that folder,
so that an image is the same one in two lists, and in its folder.
"""

# names stay strings, as in sources.py
# ruff: noqa: PTH120

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from sscd_cli.errors import UsageError
from sscd_cli.images.columns import image_column
from sscd_cli.images.refs import ImageRef, is_image_name
from sscd_cli.storage.servers import is_url, join, open_binary, without_file_scheme

TABLES = {".csv": ",", ".tsv": "\t"}
LINES = (".jsonl", ".ndjson")
COCO = ".json"


@dataclass(frozen=True, slots=True)
class Record:
    """A row of a list as it stands there, with the image that it names; None for a header."""

    text: str
    name: str | None


def is_listing(source: str) -> bool:
    """Whether a source's name is that of a list of images."""
    return source.lower().endswith((*TABLES, *LINES, COCO))


def iter_listing(path: str, column: str) -> Iterator[ImageRef]:
    """Name the images of a list in its order.

    Args: column: of the names, "" to find it (COCO's is `file_name`).
    Raises: OSError, ValueError: the list cannot be read. UsageError: it names no images.
    """
    folder = os.path.dirname(path)
    for record in iter_records(path, column):
        if record.name is not None:
            yield named_image(folder, record.name)


def named_image(folder: str, name: str) -> ImageRef:
    """Return the image that a list in `folder` names so."""
    name = without_file_scheme(name)
    if is_url(name):
        return ImageRef(name, "", name)
    id = str(PurePosixPath(name))
    if id.startswith("/") and not is_url(folder):
        return ImageRef(id, "", name)
    return ImageRef(id, folder, join(folder, name))


def iter_records(path: str, column: str) -> Iterator[Record]:
    """Yield the rows of a list one by one; of COCO, which is read whole, the images.

    Raises: as `iter_listing`; UsageError also for a row without a name.
    """
    if path.lower().endswith(COCO):
        records: Iterator[Record] = (
            Record("", image["file_name"]) for image in read_coco(path)["images"]
        )
    else:
        records = _iter_rows(path, column)
    for number, record in enumerate(records, 1):
        if record.name == "":
            raise UsageError(f"row {number} of {path} names no image", "fill it in, or drop it")
        yield record


def read_coco(path: str) -> dict[str, Any]:
    """Read a COCO file: about six times its size in memory. Raises: as `iter_listing`."""
    with open_binary(path) as file:
        coco: dict[str, Any] = json.load(file)
    images = coco.get("images") if isinstance(coco, dict) else None
    if not isinstance(images, list) or not all(map(_is_coco_image, images)):
        what = f"{path} is no COCO file: its images have no file_name"
        raise UsageError(what, "name a list of images in COCO's format, CSV or JSON Lines")
    return coco


def _is_coco_image(image: object) -> bool:
    return isinstance(image, dict) and isinstance(image.get("file_name"), str)


def _iter_rows(path: str, column: str) -> Iterator[Record]:
    with (
        open_binary(path) as stream,
        io.TextIOWrapper(stream, "utf-8", "surrogateescape", newline="") as file,
    ):
        extension = os.path.splitext(path.lower())[1]  # noqa: PTH122
        if extension in LINES:
            yield from _of_lines(path, file, column)
        else:
            yield from _of_table(path, file, column, TABLES[extension])


def _of_lines(path: str, lines: Iterable[str], column: str) -> Iterator[Record]:
    found = ""
    for line in lines:
        if not line.strip():
            yield Record(line, None)
            continue
        row = json.loads(line)
        if not isinstance(row, dict):
            raise ValueError("a line is no JSON object")
        found = found or _name_column(path, column, row)
        name = row.get(found)
        yield Record(line, name if isinstance(name, str) else "")


def _of_table(path: str, lines: Iterable[str], column: str, delimiter: str) -> Iterator[Record]:
    taken: list[str] = []  # the lines of one row, for a quoted field may span some
    rows = csv.reader(_noting(lines, taken), delimiter=delimiter, strict=True)
    try:
        header = next(rows, [])
        header_text = _take(taken)
        header[:1] = [name.removeprefix("\ufeff") for name in header[:1]]
        at = None
        for row in rows:
            if at is None:
                found = _name_column(path, column, dict(zip(header, row, strict=False)))
                at = header.index(found)
                yield Record(header_text, None)
            name = (row[at] if at < len(row) else "") if row else None
            yield Record(_take(taken), name)
        if at is None:
            yield Record(header_text, None)
    except csv.Error as error:
        raise ValueError(f"line {rows.line_num}: {error}") from error


def _noting(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    for line in lines:
        taken.append(line)
        yield line


def _take(taken: list[str]) -> str:
    text = "".join(taken)
    taken.clear()
    return text


def _name_column(path: str, chosen: str, first: dict[str, Any]) -> str:
    """Find the column of names by what the first row holds; a chosen one may hold anything."""
    found = [key for key, value in first.items() if isinstance(value, str) and _is_name(value)]
    if chosen in first:
        return chosen
    return image_column(path, chosen, found, [key for key in first if key not in found])


def _is_name(value: str) -> bool:
    return is_image_name(value.partition("?")[0] if "://" in value else value)
