"""How honest `sscd leaks` is about what chance explains: expected against counted strangers.

    python tests/bench/bench_strangers.py DESCRIPTORS MANIFEST.csv

DESCRIPTORS holds different photographs whose ids end with a key of the manifest (columns `key`,
`source`). A quarter of the sources, drawn eight times, is a test set and the rest a training set;
then two quarters of each large source are. Nothing is a copy of anything else, or hardly.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.evaluation.strangers import expected_pairs, images_among

THRESHOLDS, CEILING, MOST = (0.5, 0.55, 0.6), 0.43, 1500


def sets(rows_ND: Any, source_N: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield pairs of sets of descriptors."""
    rng = np.random.default_rng(1)
    names, counts = np.unique(source_N, return_counts=True)
    for number in range(8):
        chosen = np.isin(source_N, names[rng.permutation(len(names))[: len(names) // 4]])
        yield f"sources, draw {number + 1}", rows_ND[chosen][:MOST], rows_ND[~chosen]
    for name in names[counts >= 400]:
        mine = rows_ND[source_N == name]
        yield str(name).rpartition("/")[2], mine[::4], mine[1::4]


def main(descriptors: str, manifest: str) -> None:
    stored = read_descriptors(descriptors)
    with Path(manifest).open(newline="") as file:
        source_of = {row["key"]: row["source"] for row in csv.DictReader(file)}
    source_N = np.array([source_of[Path(id).stem] for id in stored.ids])
    print("| sets | images | threshold | expected | counted |\n| --- | ---: | ---: | ---: | ---: |")
    ratios: dict[float, list[float]] = {threshold: [] for threshold in THRESHOLDS}
    for name, ours, theirs in sets(stored.descriptors.astype(np.float32), source_N):
        found = ours @ theirs.T
        for threshold in THRESHOLDS:
            pairs = expected_pairs(found.ravel(), found.size, CEILING, threshold)
            if pairs is None:
                continue
            expected = images_among(pairs, len(ours))
            counted = int((found.max(axis=1) >= threshold).sum())
            ratios[threshold].append((expected + 0.5) / (counted + 0.5))
            sizes = f"{len(ours):,} × {len(theirs):,}"
            print(f"| {name} | {sizes} | {threshold} | {expected:.1f} | {counted} |")
    for threshold, found_T in ratios.items():
        wide = np.exp(np.abs(np.log(found_T)))
        print(
            f"\nat {threshold}: median ratio {np.median(found_T):.2f}, largest factor "
            f"{wide.max():.1f}, within 2 in {(wide < 2).sum()} of {len(wide)}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
