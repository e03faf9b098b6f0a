"""Reports and pictures for the tests of the page."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conftest import picture

HEADER = {
    "tool": "sscd",
    "version": "0",
    "report": "clusters",
    "dataset": "/d",
    "against": None,
    "model": "drawn",
    "threshold": 0.5,
    "scale": "cosine",
    "command": "sscd dedup",
}


def member(path: str, keeper: str = "", similarity: float = 1.0, **more: Any) -> dict[str, Any]:
    """Return the record of an image, which stays if no keeper is named."""
    return {
        "path": path,
        "keep": not keeper,
        "keeper": keeper or path,
        "similarity": similarity,
        "width": 40,
        "height": 30,
        "file_bytes": 1000,
        "mtime_ns": 10**18,
        "source": "",
        "id": str(Path(path).absolute()),
        "content_hash": hash_of(path),
        "band": "edited copy",
        **more,
    }


def hash_of(path: str) -> str:
    return hashlib.blake2b(os.fsencode(path), digest_size=16).hexdigest()


def clusters_report(path: Path, clusters: Sequence[Sequence[dict[str, Any]]]) -> Path:
    """Write a report in JSON Lines of clusters, each of which is its members."""
    members = [image for cluster in clusters for image in cluster]
    gone = [image["file_bytes"] for image in members if not image["keep"]]
    counts = {
        "images": len(members),
        "unreadable": 0,
        "clusters": len(clusters),
        "members": len(members),
        "removable": len(gone),
        "removable_bytes": sum(gone),
    }
    records = [{**HEADER, "folder": str(path.parent), **counts}]
    for number, cluster in enumerate(clusters):
        link = min(image["similarity"] for image in cluster)
        records.append(
            {"cluster": f"{number:012x}", "weakest_link": link, "members": list(cluster)}
        )
    records.append({"end": True, **counts})
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def pair_of_pictures(
    folder: Path, number: int, similarity: float, **more: Any
) -> list[dict[str, Any]]:
    """Draw two pictures in a folder and return the cluster of them, paths relative to it."""
    names = [f"{kind}/{number}.png" for kind in ("kept", "copies")]
    for place, name in enumerate(names):
        picture(folder / name, 2 * number + place)
    ids = [str(folder / name) for name in names]
    kept = member(names[0], id=ids[0])
    return [kept, member(names[1], names[0], similarity, id=ids[1], **more)]
