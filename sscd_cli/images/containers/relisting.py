"""Lists of image files written again without some of them."""

# names stay strings, as in sources.py
# ruff: noqa: PTH120

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Set
from contextlib import contextmanager
from typing import Any, TextIO

from sscd_cli.images.containers.listing import (
    JSON,
    ListRow,
    extension_of,
    iter_records,
    named_image,
    read_json,
)
from sscd_cli.images.containers.packing import packing, writer
from sscd_cli.images.refs import split_columns
from sscd_cli.storage.servers import open_binary


def rewrite_listing(source: str, target: str, removed: Set[str]) -> int:
    """Write the list `source` to `target` without the images `removed`.

    COCO's annotations of removed images go with them, and are counted; all ids stay as they are.
    Raises: OSError, ValueError: the list cannot be read.
    """
    path, columns = split_columns(source)
    if extension_of(path) == JSON:
        return _rewrite_json(path, target, columns.image, removed)
    with _written(path, target, "surrogateescape") as output:
        for record in iter_records(path, columns.image):
            output.write(_kept(path, record, removed) or "")
    return 0


@contextmanager
def _written(path: str, target: str, errors: str) -> Iterator[TextIO]:
    """Open what becomes of a list, packed as it is."""
    with open_binary(path) as file:
        kind = packing(file) if file.seekable() else b""
    with (
        writer(kind, target) as stream,
        io.TextIOWrapper(stream, "utf-8", errors, newline="") as output,
    ):
        yield output


def _kept(path: str, record: ListRow, removed: Set[str]) -> str | None:
    """Return the text of a row without the images `removed`; None where none of it stays."""
    folder = os.path.dirname(path)
    gone = {name for name in record.names if name and named_image(folder, name).id in removed}
    if not gone:
        return record.text
    return record.without(gone) if record.without and gone != set(record.names) else None


def _rewrite_json(path: str, target: str, column: str, removed: Set[str]) -> int:
    found = read_json(path)
    along = 0
    if isinstance(found, list):
        records = zip(found, iter_records(path, column), strict=True)
        texts = ((row, _kept(path, record, removed)) for row, record in records)
        found = [json.loads(text) if text else row for row, text in texts if text is not None]
    else:
        along = _without(found, path, removed)
    with _written(path, target, "strict") as output:
        json.dump(found, output, ensure_ascii=False)
    return along


def _without(coco: dict[str, Any], path: str, removed: Set[str]) -> int:
    """Take images and their annotations out; return the number of these."""
    folder = os.path.dirname(path)
    gone = [i for i in coco["images"] if named_image(folder, i["file_name"]).id in removed]
    names, ids = {i["file_name"] for i in gone}, {i.get("id") for i in gone}
    coco["images"] = [i for i in coco["images"] if i["file_name"] not in names]
    marks = coco.get("annotations", [])
    kept = [mark for mark in marks if mark.get("image_id") not in ids]
    if "annotations" in coco:
        coco["annotations"] = kept
    return len(marks) - len(kept)
