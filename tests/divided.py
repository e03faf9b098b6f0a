"""What tests of divided work have in common: a folder of photographs, rows, vectors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import picture

from sscd_cli.descriptors.read import read_descriptors

COUNT = 40
ROWS, D = 500, 32


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of different pictures, three exact copies and one torn file."""
    folder = tmp_path / "photos"
    for seed in range(COUNT - 4):
        picture(folder / f"{seed % 3}/{seed:02}.png", seed)
    for name in ("copy", "twin", "third"):
        shutil.copy2(folder / "0/00.png", folder / f"{name}.png")
    (folder / "torn.png").write_bytes((folder / "1/01.png").read_bytes()[:70])
    return folder


def rows(folder: Path) -> list[tuple[str, bytes]]:
    """Return what a dataset says of each image, in order of their names."""
    stored = read_descriptors(folder)
    facts = zip(*stored.columns.values(), strict=True)
    found = [
        (name, descriptor.tobytes() + str([str(fact) for fact in row]).encode())
        for name, descriptor, row in zip(stored.ids, stored.descriptors, facts, strict=True)
    ]
    failed = zip(stored.unreadable.ids, stored.unreadable.errors, strict=True)
    return sorted(found + [(name, error.encode()) for name, error in failed])


def vectors(rows: int = ROWS, seed: int = 0) -> Any:
    """Return unit vectors in float16: strangers, near copies in chains, and many identical rows."""
    generator = np.random.default_rng(seed)
    base = generator.standard_normal((rows, D))
    parents = generator.integers(0, rows, rows)
    near = generator.random(rows) < 0.4
    base[near] = base[parents[near]] + 0.12 * generator.standard_normal((int(near.sum()), D))
    same = generator.random(rows) < 0.2
    base[same] = base[generator.integers(0, rows // 10, int(same.sum()))]
    return (base / np.linalg.norm(base, axis=1, keepdims=True)).astype(np.float16)
