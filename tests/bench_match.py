"""Speed and recall of the threshold join beside FAISS brute force, in one run.

    python tests/bench_match.py [N] [THREADS]

N unit vectors of 512 dimensions, 20,000 unless given: random ones, a tenth of them noisy copies
at cosines of 0.6 to 0.99, and one row in a hundred in a heavy cluster. The baseline is
`IndexFlatIP.range_search` at the same threshold; recall is the share of its pairs that were found.
"""

from __future__ import annotations

import datetime
import os
import platform
import sys
import time

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
if len(sys.argv) > 2:
    os.environ["OMP_NUM_THREADS"] = sys.argv[2]  # before the libraries that read it

import faiss  # noqa: E402
import numpy as np  # noqa: E402

from sscd_cli.matching.clusters import cluster, deduplicate  # noqa: E402
from sscd_cli.matching.join import find_pairs  # noqa: E402

DIMENSIONS = 512
THRESHOLD = 0.75
HEAVY_ROWS = 200


def synthetic(rows: int) -> np.ndarray:
    """Return float32 (rows, 512), unit length, in random order."""
    generator = np.random.default_rng(0)
    descriptors = unit(generator.standard_normal((rows, DIMENSIONS), np.float32))
    copies = np.arange(rows - rows // 10, rows)
    originals = generator.integers(0, copies[0], len(copies))
    heavy = np.arange(len(copies)) < len(copies) // 10
    originals[heavy] = np.arange(len(copies))[heavy] // HEAVY_ROWS
    cosine = generator.uniform(0.6, 0.99, (len(copies), 1)).astype(np.float32)
    noise = unit(generator.standard_normal((len(copies), DIMENSIONS), np.float32))
    descriptors[copies] = cosine * descriptors[originals] + np.sqrt(1 - cosine**2) * noise
    return unit(descriptors)[generator.permutation(rows)]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def flat_keys(descriptors: np.ndarray) -> np.ndarray:
    """Return left * N + right of every pair that FAISS finds by brute force."""
    index = faiss.IndexFlatIP(DIMENSIONS)
    index.add(descriptors)
    limits, _, right = index.range_search(descriptors, THRESHOLD)
    left = np.repeat(np.arange(len(descriptors)), np.diff(limits.astype(np.int64)))
    forward = left < right
    return left[forward] * len(descriptors) + right[forward]


def timed(work):
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def main() -> None:
    descriptors = synthetic(ROWS)
    threads = faiss.omp_get_max_threads()
    print(f"{datetime.date.today()}  {cpu_name()}, {threads} of {os.cpu_count()} threads")
    print(
        f"Python {platform.python_version()}, numpy {np.__version__}, faiss {faiss.__version__}; "
        f"{ROWS:,} x {DIMENSIONS} descriptors, threshold {THRESHOLD}"
    )
    baseline, expected = timed(lambda: flat_keys(descriptors))
    print(f"{'FAISS IndexFlatIP.range_search':32}{baseline:9.2f} s  {len(expected):,} pairs")
    stored = descriptors.astype(np.float16)
    for method in ("exact", "bits"):
        for kind, rows in (("float32", descriptors), ("float16", stored)):
            seconds, pairs = timed(lambda rows=rows, method=method: find_pairs(rows, 0.75, method))
            recall = np.isin(expected, pairs.left * ROWS + pairs.right).mean()
            print(
                f"{f'find_pairs {method}, {kind}':32}{seconds:9.2f} s  {len(pairs):,} pairs, "
                f"recall {recall:.6f}, {baseline / seconds:.1f} times as fast"
            )
    order = np.arange(ROWS)
    for linkage in ("leader", "components", "complete"):
        seconds, _ = timed(lambda linkage=linkage: cluster(pairs, order, stored, linkage))
        print(f"{f'cluster {linkage}':32}{seconds:9.2f} s")
    seconds, clusters = timed(lambda: deduplicate(stored, THRESHOLD, order))
    recall = "exact"
    if clusters.recall:
        low, high = clusters.recall.interval
        recall = f"sampled recall {clusters.recall.share:.4f} (95 %: {low:.4f} to {high:.4f})"
    removable = int(clusters.removable.sum())
    print(f"{'deduplicate, all of it':32}{seconds:9.2f} s  {removable:,} removable, {recall}")


def cpu_name() -> str:
    with open("/proc/cpuinfo") as lines:  # noqa: PTH123
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
