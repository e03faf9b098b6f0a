"""Rows and shards that tests of descriptor datasets write."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from sscd_cli.descriptors.provenance import Provenance
from sscd_cli.descriptors.schema import Row

PROVENANCE = Provenance(
    model="sscd_a",
    weights_sha256="a" * 64,
    dimensions=4,
    preprocessing={"name": "small-288", "size": 288},
    dtype="float16",
    precision="fp32",
    tool_version="0.1.0",
    pillow_version="13.0.0",
    threshold=0.75,
)


def row(name: str, dimensions: int = 4) -> Row:
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    generator = np.random.default_rng(int.from_bytes(digest, "big"))
    vector = generator.standard_normal(dimensions).astype(np.float32)
    return Row(name, "/photos", vector, width=4, height=3, content_hash=digest)


def rows(names: Sequence[str]) -> list[Row]:
    return [row(name) for name in names]


def stored_ids(folder: Path) -> list[list[str]]:
    """Each complete shard's ids, read with pyarrow alone."""
    return [
        pq.read_table(path)["id"].to_pylist() for path in sorted(folder.glob("shard-*.parquet"))
    ]
