"""A list without some images: the rows that stay keep their bytes, COCO's records their values."""

from __future__ import annotations

import json
import os
from collections.abc import Set

from sscd_cli.images.columns import split_columns
from sscd_cli.images.listing import COCO, iter_records, named_image, read_coco


def rewrite_listing(source: str, target: str, removed: Set[str]) -> int:
    """Write the list `source` to `target` without the images `removed`.

    COCO's annotations of removed images go with them, and are counted; all ids stay as they are.
    Raises: OSError, ValueError: the list cannot be read.
    """
    path, columns = split_columns(source)
    if path.lower().endswith(COCO):
        return _rewrite_coco(path, target, removed)
    folder = os.path.dirname(path)  # noqa: PTH120
    with open(  # noqa: PTH123
        target, "w", encoding="utf-8", errors="surrogateescape", newline=""
    ) as output:
        for record in iter_records(path, columns.image):
            gone = {name for name in record.names if named_image(folder, name).id in removed}
            if not gone:
                output.write(record.text)
            elif record.without and gone != set(record.names):
                output.write(record.without(gone))
    return 0


def _rewrite_coco(path: str, target: str, removed: Set[str]) -> int:
    coco = read_coco(path)
    folder = os.path.dirname(path)  # noqa: PTH120
    gone = [i for i in coco["images"] if named_image(folder, i["file_name"]).id in removed]
    names, ids = {i["file_name"] for i in gone}, {i.get("id") for i in gone}
    coco["images"] = [i for i in coco["images"] if i["file_name"] not in names]
    marks = coco.get("annotations", [])
    kept = [mark for mark in marks if mark.get("image_id") not in ids]
    if "annotations" in coco:
        coco["annotations"] = kept
    with open(target, "w", encoding="utf-8") as output:  # noqa: PTH123
        json.dump(coco, output, ensure_ascii=False)
    return len(marks) - len(kept)
