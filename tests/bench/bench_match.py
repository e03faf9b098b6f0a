"""Speed, recall and memory of the threshold join beside FAISS brute force, in one run.

    python tests/bench/bench_match.py [N ...] [--anisotropic] [--baseline-rows M]
        [--methods exact groups]

For each N, 100,000 unless given: N unit vectors of 512 dimensions, stored as float16 and
memory-mapped; random ones, a tenth of them noisy copies at cosines of 0.6 to 0.99, and one row in a
hundred in a heavy cluster; --anisotropic gives the axes unequal weight, so that strangers resemble
each other. The baseline is `IndexFlatIP.range_search` at the same threshold: of all rows up to M
(100,000 unless given), and of the first M as queries against all where there are more, times N / M.

Each join has a process of its own, whose peak memory, mapped rows included, is its own. Recall is
the share of the pairs of "exact", or else of "sketch", where that is among the methods; where none
is, of the pairs of 2,000 random rows with all. Each N ends with the growth since the one before.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_header import header

from sscd_cli.matching.copies import sampled_recall
from sscd_cli.matching.join import Pairs, find_pairs, plan_join

DIMENSIONS = 512
THRESHOLD = 0.75
HEAVY_ROWS = 200
BLOCK = 50_000


def synthetic(rows: int, anisotropic: bool = False) -> np.ndarray:
    """Return float16 (rows, 512), unit length, in random order; needs little more memory."""
    generator = np.random.default_rng(0)
    weights = np.geomspace(1, 0.05, DIMENSIONS, dtype=np.float32) if anisotropic else np.float32(1)
    descriptors = np.empty((rows, DIMENSIONS), np.float16)
    originals = rows - rows // 10
    for start in range(0, originals, BLOCK):
        count = min(BLOCK, originals - start)
        drawn = generator.standard_normal((count, DIMENSIONS), np.float32) * weights
        descriptors[start : start + count] = unit(drawn)
    heavy = (rows - originals) // 10
    for start in range(originals, rows, BLOCK):
        place = np.arange(start, min(start + BLOCK, rows))
        chosen = generator.integers(0, originals, len(place))
        crowded = place - originals < heavy
        chosen[crowded] = (place[crowded] - originals) // HEAVY_ROWS
        cosine = generator.uniform(0.6, 0.99, (len(place), 1)).astype(np.float32)
        noise = unit(generator.standard_normal((len(place), DIMENSIONS), np.float32) * weights)
        original = descriptors[chosen].astype(np.float32)
        noise = unit(noise - (noise * original).sum(1, keepdims=True) * original)
        descriptors[place] = unit(cosine * original + np.sqrt(1 - cosine**2) * noise)
    return descriptors[generator.permutation(rows)]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@dataclass(frozen=True)
class Joined:
    """What one process did: clock and core seconds, its peak memory in bytes, and its pairs."""

    seconds: float
    core_seconds: float
    peak: int
    expected: float
    pairs: Pairs | None


def alone(work: Callable[..., Joined], *given: Any) -> Joined:
    """Run `work` in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


def flat_search(file: Path, queries: int) -> Joined:
    """Search some rows among all by FAISS, and scale what that took to a search for all rows."""
    import faiss

    descriptors = np.load(file, mmap_mode="r")
    index = faiss.IndexFlatIP(DIMENSIONS)

    def add() -> None:
        for start in range(0, len(descriptors), BLOCK):
            index.add(descriptors[start : start + BLOCK].astype(np.float32))

    some = descriptors[:queries].astype(np.float32)
    added, added_cores, _ = timed(add)
    searched, searched_cores, _ = timed(lambda: index.range_search(some, THRESHOLD))
    scale = len(descriptors) / queries
    return Joined(
        added + searched * scale, added_cores + searched_cores * scale, peak(), math.nan, None
    )


def join(file: Path, method: str) -> Joined:
    """Find the pairs of a file's rows."""
    descriptors = np.load(file, mmap_mode="r")

    def work() -> tuple[float, Pairs]:
        plan = plan_join(descriptors, THRESHOLD, method)
        return plan.seconds, find_pairs(descriptors, THRESHOLD, how=plan)

    seconds, cores, (expected, pairs) = timed(work)
    return Joined(seconds, cores, peak(), expected, pairs)


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return seconds on the clock, seconds of all cores, and what `work` returns."""
    started, before = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - started, time.process_time() - before, result


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(file: Path, methods: list[str], most_queries: int) -> dict[str, float]:
    """Print a table for one set; return the seconds of each method."""
    descriptors = np.load(file, mmap_mode="r")
    queries = min(len(descriptors), most_queries)
    flat = alone(flat_search, file, queries)
    scaled = "" if queries == len(descriptors) else f"scaled from {queries:,} queries"
    line("FAISS IndexFlatIP.range_search", flat, flat, "all", scaled)
    found = {method: alone(join, file, method) for method in methods}
    best = next((method for method in ("exact", "sketch") if method in found), None)
    every = found[best].pairs if best else None
    for method, joined in found.items():
        line(
            method,
            joined,
            flat,
            recall(descriptors, joined.pairs, every, best),
            f"{joined.expected:.0f} s",
        )
    return {method: joined.seconds for method, joined in found.items()}


def recall(descriptors: np.ndarray, pairs: Pairs, every: Pairs | None, best: str | None) -> str:
    if every is None:
        sample = sampled_recall(descriptors, pairs, THRESHOLD)
        low, high = sample.interval
        return f"{sample.share:.5f} ({low:.5f} to {high:.5f}), sampled"
    keys, known = (found.left * len(descriptors) + found.right for found in (pairs, every))
    return f"{np.isin(known, keys).mean():.5f} of the {len(known):,} of {best}"


def line(name: str, joined: Joined, flat: Joined, share: str, note: str) -> None:
    times = (
        f"{joined.seconds:,.1f} | {joined.core_seconds:,.1f} | {flat.seconds / joined.seconds:.1f}"
    )
    print(f"| {name} | {times} | {share} | {joined.peak / 1e9:.2f} | {note} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=int, nargs="*", default=[100_000])
    parser.add_argument("--anisotropic", action="store_true")
    parser.add_argument("--baseline-rows", type=int, default=100_000)
    parser.add_argument("--methods", nargs="+", default=["exact", "sketch", "groups"])
    given = parser.parse_args()
    print(header(("numpy", "faiss-cpu", "torch")))
    before: dict[str, float] = {}
    for count, rows in enumerate(given.rows):
        kind = "anisotropic" if given.anisotropic else "isotropic"
        print(f"\n{rows:,} × {DIMENSIONS} {kind} descriptors, float16, threshold {THRESHOLD}:\n")
        print("| join | seconds | core seconds | ratio | recall | peak GB | expected |")
        print("| --- | ---: | ---: | ---: | --- | ---: | --- |")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "descriptors.npy"
            np.save(file, synthetic(rows, given.anisotropic))
            taken = measure(file, given.methods, given.baseline_rows)
        if count:
            growth = math.log(rows / given.rows[count - 1])
            exponents = {m: math.log(taken[m] / before[m]) / growth for m in taken}
            print("\nGrowth:", ", ".join(f"{m} N^{e:.2f}" for m, e in exponents.items()))
        before = taken


if __name__ == "__main__":
    main()
