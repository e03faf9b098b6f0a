"""What an index finds and costs, and what adding 1 % of new images costs beside building it.

    python tests/bench/bench_index.py [N] [--factory F ...]

N descriptors (100,000 unless given) as in bench_match.py, in a dataset of their own for each
factory: built, then 1 % more embedded, then brought up to date. Recall@10 is what the index
measured of itself when it was built. The factories are the two kinds that auto chooses from, by N.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from bench_header import header
from bench_match import synthetic
from bench_startup import store

from sscd_cli.commands import index
from sscd_cli.options.index import IndexOptions


def timed(options: IndexOptions) -> tuple[float, index.IndexResult]:
    """Return the seconds of `sscd index`, and what it did."""
    started = time.perf_counter()
    result = index.run(options)
    return time.perf_counter() - started, result


def main() -> None:
    """Print one line a factory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=int, nargs="?", default=100_000)
    parser.add_argument("--factory", nargs="+", default=["Flat", "IVF1265,SQfp16"])
    given = parser.parse_args()
    more = given.rows // 100
    vectors = synthetic(given.rows + more)
    print(header(("numpy", "faiss-cpu")), "\n")
    print(f"{given.rows:,} × 512 descriptors, then {more:,} more:\n")
    print("| factory | recall@10 | build s | add 1 % s | share | MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for factory in given.factory:
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work) / "descriptors"
            options = IndexOptions(descriptors=folder, factory=factory)
            store(folder, vectors[:-more])
            built, first = timed(options)
            store(folder, vectors[-more:], start=given.rows)
            added, second = timed(options)
            assert second.added == more, "the index was built anew"
            recall = "1" if first.recall is None else f"{first.recall:.3f}"
            size = first.path.stat().st_size / 1e6
            print(
                f"| {first.factory} | {recall} | {built:.1f} | {added:.1f} | {added / built:.0%} "
                f"| {size:,.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
