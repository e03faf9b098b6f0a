"""Lists of image files written again without some of them."""

# names stay strings, as in sources.py
# ruff: noqa: PTH120

from __future__ import annotations

import json
import os
from collections.abc import Set
from typing import Any

from sscd_cli.images.containers.listing import JSON, ListRow, iter_records, named_image, read_json
from sscd_cli.images.refs import split_columns


def rewrite_listing(source: str, target: str, removed: Set[str]) -> int:
    """Write the list `source` to `target` without the images `removed`.

    COCO's annotations of removed images go with them, and are counted; all ids stay as they are.
    Raises: OSError, ValueError: the list cannot be read.
    """
    path, columns = split_columns(source)
    if path.lower().endswith(JSON):
        return _rewrite_json(path, target, columns.image, removed)
    with open(  # noqa: PTH123
        target, "w", encoding="utf-8", errors="surrogateescape", newline=""
    ) as output:
        for record in iter_records(path, columns.image):
            output.write(_kept(path, record, removed) or "")
    return 0


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
    with open(target, "w", encoding="utf-8") as output:  # noqa: PTH123
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
