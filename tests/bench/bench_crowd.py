"""`sscd dedup` of stored descriptors where everything resembles everything, and of many clusters.

    python tests/bench/bench_crowd.py

Crowds: 10,000 to 40,000 rows in which nine of ten pairs are above the threshold ("pages"), one of
five ("scenes"), or all, at 0.99 and more ("one picture"). Clusters: 10,000 of two, as HTML. Each
has a process of its own: seconds, CPU seconds and peak memory are of all of it. No file of theirs
exists. The status is 1 if a limit is exceeded.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from bench_header import Took, header, took
from bench_startup import SSCD, store

DIMENSIONS = 512
KINDS = {"pages": 0.35, "scenes": 0.9, "one picture": 0.02}  # how far rows are from their mean
LIMITS = {20_000: (20.0, 400.0)}  # seconds and MB
CLUSTERS = 10_000


def crowd(rows: int, spread: float) -> np.ndarray:
    """Return unit vectors, float32 (rows, 512), around one, as far from it as drawn."""
    generator = np.random.default_rng(0)
    mean = unit(generator.standard_normal((1, DIMENSIONS)))
    basis = generator.standard_normal((24, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    along = generator.standard_normal((rows, 24)) * np.geomspace(1, 0.2, 24)
    across = generator.standard_normal((rows, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    distance = generator.gamma(3, spread / 3, (rows, 1))
    return unit(mean + distance * unit(along @ basis + 0.1 * across))


def twins(clusters: int) -> np.ndarray:
    """Return unit vectors of which each is a noisy copy of one other."""
    generator = np.random.default_rng(0)
    rows = unit(generator.standard_normal((clusters, DIMENSIONS)))
    noise = unit(generator.standard_normal((clusters, DIMENSIONS)))
    return np.concatenate([rows, unit(rows + 0.3 * noise)])


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def draw(folder: Path, rows: int, name: str) -> None:
    store(folder, crowd(rows, KINDS[name]) if name in KINDS else twins(rows // 2))


def dedup(folder: Path, rows: int, name: str, kind: str) -> Took:
    """Draw vectors, in a process of their own, and look for duplicates among them."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(draw, folder, rows, name).result()
    return took([SSCD, "dedup", "-d", str(folder), "-f", kind, "-o", str(folder / "report")])


def line(name: str, rows: int, its: Took) -> bool:
    """Print what a run took, and return whether that is within the limits."""
    figures = f"{its.seconds:.1f} | {its.cpu:.1f} | {its.peak:.0f}"
    print(f"| {name} | {rows:,} | {figures} |", flush=True)
    seconds, peak = LIMITS.get(rows, (np.inf, np.inf)) if name in KINDS else (60.0, np.inf)
    return its.seconds <= seconds and its.peak <= peak


def main() -> int:
    """Print a line a run."""
    print(header(("numpy", "pyarrow")), "\n")
    print("| set | rows | seconds | CPU seconds | peak MB |\n| --- | ---: | ---: | ---: | ---: |")
    within = True
    sets = [(rows, name, "text") for rows in (10_000, 20_000, 40_000) for name in KINDS]
    for rows, name, kind in [*sets, (2 * CLUSTERS, "clusters, as html", "html")]:
        with tempfile.TemporaryDirectory() as folder:
            its = dedup(Path(folder, "store"), rows, name, kind)
        within &= line(name, rows, its)
    return int(not within)


if __name__ == "__main__":
    sys.exit(main())
