"""Datasets with clusters."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MTIME, Ran, Run, Store, picture, records_of

A, B, C = np.eye(8)[:3]
BY_FACTS = ("--keep", "resolution,bytes")  # drawn pictures do not show what descriptors say


def near(base: Any, similarity: float, free: int) -> Any:
    """Return a unit vector at a cosine similarity to `base`, the rest along axis `free`."""
    return similarity * base + (1 - similarity**2) ** 0.5 * np.eye(8)[free]


def clusters(ran: Ran) -> list[dict[str, bool]]:
    """Return each cluster of a JSON Lines report as {path: kept}."""
    assert ran.status == 0, ran.err
    found = records_of(ran.out)
    return [{member["path"]: member["keep"] for member in one["members"]} for one in found]


def copies(folder: Path, *names: str) -> dict[Path, Any]:
    """Write one picture under several names, oldest first; all have one descriptor."""
    files = {}
    for age, name in enumerate(names):
        path = picture(folder / name, seed=1)
        os.utime(path, (MTIME + age, MTIME + age))
        files[path] = A
    return files


@pytest.fixture
def deduped(sscd: Run, tmp_path: Path, store: Store) -> Any:
    """Return a function that stores descriptors and reports on them."""

    def run(files: dict[Path, Any], *words: str, root: Path | None = None) -> Ran:
        store(tmp_path / "descriptors", files, root=root)
        return sscd("dedup", "-f", "jsonl", *words)

    return run
