"""Descriptor datasets as benchmarks have them: unit vectors under names of our choice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from conftest import drawn_provenance
from numpy.typing import NDArray

from sscd_cli.descriptors.schema import Row
from sscd_cli.descriptors.write import ShardWriter

Floats = NDArray[np.float32]
DIMENSIONS = 16


def save_vectors(
    folder: Path,
    vectors: Mapping[str, Any],
    *,
    weights: str = "0" * 64,
    source: str = "/photos",
    dimensions: int = 0,
) -> Path:
    """Write a dataset of float32 descriptors by id; a text instead is why there is none."""
    dimensions = max([dimensions, *(len(v) for v in vectors.values() if not isinstance(v, str))])
    with ShardWriter(folder, drawn_provenance(dimensions, weights_sha256=weights)) as writer:
        writer.add(
            [
                Row(id, source, error=value)
                if isinstance(value, str)
                else Row(id, source, np.asarray(value, np.float32))
                for id, value in vectors.items()
            ]
        )
    return folder


def unit_rows(rows: int, seed: int, dimensions: int = 16) -> Floats:
    """Return random unit vectors that share a direction and a slope of variances, as images do."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, dimensions)) * np.linspace(2.0, 0.5, dimensions) + 1.0
    return unit(values)


def unit(values: NDArray[Any]) -> Floats:
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / length, np.float32)


def projected(codec: str, training: Floats, *others: Floats) -> list[Floats]:
    """Apply a codec as FAISS does."""
    if codec == "Flat":
        return [training, *others]
    index = faiss.index_factory(DIMENSIONS, codec)
    index.train(training)
    return [
        np.frombuffer(index.sa_encode(rows), np.float32).reshape(len(rows), -1)
        for rows in (training, *others)
    ]
