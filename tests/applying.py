"""What `sscd apply` is tried on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run, Store, picture, records_of

A, B, C = np.eye(8)[:3]


@pytest.fixture
def report(sscd: Run, tmp_path: Path, store: Store) -> Path:
    """Report on keepers a and c, an exact copy, an edited one and sidecars; return the report."""
    photos = tmp_path / "photos"
    a = picture(photos / "a.png", 1, (60, 60))
    c = picture(photos / "c.png", 3, (60, 60))
    exact = photos / "sub/a copy.png"
    exact.parent.mkdir()
    shutil.copy2(a, exact)
    os.utime(exact, ns=(10**18, 10**18 + 1))
    exact.chmod(0o640)
    edited = picture(photos / "sub/c-edited.png", 4)
    for name in ("sub/a copy.txt", "sub/a copy.png.json", "a.txt", "notes.md"):
        (photos / name).write_text(name)
    files = {a: A, exact: A, c: B, edited: B, picture(photos / "e.png", 5): C}
    store(tmp_path / "descriptors", files, root=photos)
    path = tmp_path / "r.jsonl"
    assert sscd("dedup", "-f", "jsonl", "--keep", "path", "-o", path).status == 0
    gone = [m["id"] for r in records_of(path.read_bytes()) for m in r["members"] if not m["keep"]]
    assert gone == ["sub/a copy.png", "sub/c-edited.png"]
    return path


def state(folder: Path) -> dict[str, Any]:
    """Return the name, kind, mode, time and bytes of each file."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        if not path.is_dir():
            facts = path.is_symlink(), status.st_nlink, status.st_mode, status.st_mtime_ns
            found[str(path.relative_to(folder))] = (*facts, path.read_bytes())
    return found
