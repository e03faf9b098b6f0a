"""Speed and recall of the threshold join beside FAISS brute force, in one run.

    python tests/bench_match.py [N ...] [--anisotropic] [--baseline-rows M] [--methods exact groups]

For each N, 100,000 unless given: N unit vectors of 512 dimensions, stored as float16; random ones,
a tenth of them noisy copies at cosines of 0.6 to 0.99, and one row in a hundred in a heavy
cluster; --anisotropic gives the axes unequal weight, so that strangers resemble each other. The
baseline is `IndexFlatIP.range_search` at the same threshold: of all rows up to M (100,000 unless
given), and of the first M as queries against all where there are more, times N / M. Recall is
measured on 2,000 random rows against all. Each N ends with the growth since the one before. Peak
memory is of the whole process: run a million alone.
"""

from __future__ import annotations

import argparse
import math
import resource
import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from bench_header import header

from sscd_cli.matching.clusters import cluster
from sscd_cli.matching.join import find_pairs, plan_join
from sscd_cli.matching.recall import sampled_recall

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


def flat_search(descriptors: np.ndarray, queries: int) -> tuple[float, float]:
    """Return the seconds and core seconds of FAISS for all rows, of which some are searched."""
    index = faiss.IndexFlatIP(DIMENSIONS)

    def add() -> None:
        for start in range(0, len(descriptors), BLOCK):
            index.add(descriptors[start : start + BLOCK].astype(np.float32))

    some = descriptors[:queries].astype(np.float32)
    added, added_cores, _ = timed(add)
    searched, searched_cores, _ = timed(lambda: index.range_search(some, THRESHOLD))
    scale = len(descriptors) / queries
    return added + searched * scale, added_cores + searched_cores * scale


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return seconds on the clock, seconds of all cores, and what `work` returns."""
    started, before = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - started, time.process_time() - before, result


def measure(descriptors: np.ndarray, methods: list[str], most_queries: int) -> dict[str, float]:
    """Print a table for one set; return the seconds of each method."""
    rows = len(descriptors)
    queries = min(rows, most_queries)
    baseline, baseline_cores = flat_search(descriptors, queries)
    scaled = "" if queries == rows else f" (scaled from {queries:,} queries)"
    line("FAISS IndexFlatIP.range_search", baseline, baseline_cores, f"exact{scaled}")
    taken = {}
    for method in methods:
        seconds, cores, (plan, pairs) = timed(lambda method=method: joined(descriptors, method))
        recall = sampled_recall(descriptors, pairs, THRESHOLD)
        low, high = recall.interval
        line(
            f"find_pairs, {method}",
            seconds,
            cores,
            f"{len(pairs):,} pairs, recall {recall.share:.5f} ({low:.5f} to {high:.5f}), "
            f"{baseline / seconds:.1f} times as fast, {baseline_cores / cores:.1f} by core time; "
            f"expected {plan.seconds:.0f} s",
        )
        taken[method] = seconds
    seconds, cores, _ = timed(lambda: cluster(pairs, np.arange(rows), descriptors))
    line("cluster, leader", seconds, cores, "")
    return taken


def joined(descriptors: np.ndarray, method: str) -> tuple[Any, Any]:
    plan = plan_join(descriptors, THRESHOLD, method)
    return plan, find_pairs(descriptors, THRESHOLD, how=plan)


def line(name: str, seconds: float, cores: float, text: str) -> None:
    print(f"| {name} | {seconds:,.1f} | {cores:,.1f} | {text} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=int, nargs="*", default=[100_000])
    parser.add_argument("--anisotropic", action="store_true")
    parser.add_argument("--baseline-rows", type=int, default=100_000)
    parser.add_argument("--methods", nargs="+", default=["exact", "groups"])
    given = parser.parse_args()
    print(header(("numpy", "faiss-cpu", "torch")))
    before: dict[str, float] = {}
    for count, rows in enumerate(given.rows):
        kind = "anisotropic" if given.anisotropic else "isotropic"
        print(f"\n{rows:,} × {DIMENSIONS} {kind} descriptors, float16, threshold {THRESHOLD}:\n")
        print("| join | seconds | core seconds | pairs and recall |\n| --- | ---: | ---: | --- |")
        descriptors = synthetic(rows, given.anisotropic)
        taken = measure(descriptors, given.methods, given.baseline_rows)
        if count:
            growth = math.log(rows / given.rows[count - 1])
            exponents = {m: math.log(taken[m] / before[m]) / growth for m in taken}
            print("\nGrowth:", ", ".join(f"{m} N^{e:.2f}" for m, e in exponents.items()))
        before = taken
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"\nPeak memory {peak:.2f} GB.")


if __name__ == "__main__":
    main()
