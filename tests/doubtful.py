"""Datasets of images in doubt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from conftest import Ran, drawn_provenance

from sscd_cli.descriptors.schema import Row
from sscd_cli.descriptors.write import ShardWriter


def near(base: Any, similarity: float, free: int) -> Any:
    return similarity * base + (1 - similarity**2) ** 0.5 * np.eye(64)[free]


def save(folder: Path, files: dict[Path, tuple[Any, dict[str, Any]]], **made_by: Any) -> None:
    """Write a dataset of files with what is known of each."""
    provenance = drawn_provenance(64, **made_by)
    with ShardWriter(folder, provenance) as writer:
        for path, (vector, facts) in files.items():
            status = path.stat()
            said = {
                "file_bytes": status.st_size,
                "mtime_ns": status.st_mtime_ns,
                "content_hash": path.name.encode().ljust(16),
                "width": 40,
                "height": 30,
                "format": "PNG",
                **facts,
            }
            writer.add([Row(str(path), "", np.asarray(vector, np.float32), **said)])


def bands(ran: Ran) -> dict[str, tuple[bool, str]]:
    """Return of each image in a report whether it stays, and its band."""
    assert ran.status == 0, ran.err
    records = [json.loads(line) for line in ran.lines]
    members = [member for record in records[1:-1] for member in record["members"]]
    return {member["path"]: (member["keep"], member["band"]) for member in members}
