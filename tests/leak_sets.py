"""Sets with planted leaks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DATA, MTIME, Ran, Run, Store

FORMATS = {
    "text": "leaks.txt",
    "json": "leaks.json",
    "junit": "leaks.xml",
    "sarif": "leaks.sarif",
    "markdown": "leaks.md",
    "github": "leaks.github",
}

PICTURES = sorted(path for path in (DATA / "gallery").glob("*.jpg") if path.name != "torn.jpg")
TRAIN, EXACT, EDITED, STRANGERS = 16, 4, 8, 7

Gate = Callable[..., Ran]


def placed(folder: Path, name: str, source: Path) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(source.read_bytes())
    os.utime(path, (MTIME, MTIME))
    return path


def vector(axis: int, cosine: float = 1.0, other: int = 0) -> Any:
    """Return a descriptor with an exact cosine to that of `axis`, whatever adds it up."""
    row = np.zeros(64, np.float32)
    row[axis], row[40 + other] = cosine, (1 - cosine**2) ** 0.5
    return row


@pytest.fixture
def sets(tmp_path: Path, store: Store) -> Path:
    """Twenty test images: 12 have a copy among 16 training images, one has a near one."""
    train = {
        placed(tmp_path / "train", path.name, path): vector(axis)
        for axis, path in enumerate(PICTURES[:TRAIN])
    }
    test: dict[Path, Any] = {}
    for axis, path in enumerate(PICTURES[:EXACT]):
        test[placed(tmp_path / "test", f"exact-{axis}.jpg", path)] = vector(axis)
    rest = iter(PICTURES[TRAIN:])
    for axis in range(EXACT, EXACT + EDITED):
        path = placed(tmp_path / "test", f"edited-{axis}.jpg", next(rest))
        test[path] = vector(axis, 1 - axis / 64, axis)
    unsure = placed(tmp_path / "test", "near.jpg", next(rest))
    test[unsure] = vector(EXACT + EDITED, 0.5, 20)
    for number in range(STRANGERS):
        path = placed(tmp_path / "test", f"stranger-{number}.jpg", next(rest))
        test[path] = vector(30 + number)
    torn = placed(tmp_path / "test", "torn.jpg", DATA / "gallery" / "torn.jpg")
    store(tmp_path / "train.d", train, look_at=0.4)
    store(tmp_path / "test.d", {**test, torn: "image file is truncated"}, look_at=0.4)
    return tmp_path


@pytest.fixture
def gate(sscd: Run, sets: Path) -> Gate:
    return lambda *words: sscd("leaks", "test.d", "--against", "train.d", *words)
