"""What dividing a job costs, measured here, and what clusters would take, computed.

    python tests/bench/bench_tasks.py [--rows 40000] [--pruned-rows 200000]
        [--photos FOLDER] [--tasks 4]

Measured: the tasks one after another on this machine against one run, so that the ratio is the
price of dividing: repeated listing, reading blocks again, collecting the parts. Results must be
equal. Then exact tiles against pruned ones, with the recall of these, and the memory of a process
that reports from tiles against one that reads everything. Computed: the formulas of `estimate`,
from the rates that are printed beside them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from bench_header import header
from bench_startup import store

from sscd_cli.commands import embed
from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.joining import report as join_report
from sscd_cli.joining import tasks as join
from sscd_cli.joining import tiles
from sscd_cli.joining.job import JoinJob
from sscd_cli.machines.tasks import Task, all_tasks
from sscd_cli.matching.clusters import find_copies
from sscd_cli.options.dedup import DedupOptions
from sscd_cli.options.embed import EmbedOptions

PHOTOS = Path(__file__).parents[3] / "shared" / "data" / "photos"
GALLERY = Path(__file__).parents[1] / "data" / "gallery"
D = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--pruned-rows", type=int, default=200_000)
    parser.add_argument("--photos", type=Path, default=PHOTOS if PHOTOS.exists() else GALLERY)
    parser.add_argument("--tasks", type=int, default=4)
    given = parser.parse_args()
    print(header(("numpy",)))
    with tempfile.TemporaryDirectory() as folder:
        measure_embedding(Path(folder), given.photos, given.tasks)
        measure_join(Path(folder) / "rows", given.rows, given.tasks)
        rate, share = measure_pruning(Path(folder) / "many", given.pruned_rows)
    estimate(rate, share)


def measure_embedding(folder: Path, photos: Path, count: int) -> None:
    options = EmbedOptions(sources=(str(photos),), descriptors=folder / "warm")
    embed.run(options)
    one = embed.run(replace(options, descriptors=folder / "one")).elapsed
    divided = replace(options, descriptors=folder / "divided")
    parts = [embed.run(replace(divided, task=task)) for task in all_tasks(count)]
    equal = contents(folder / "one") == contents(folder / "divided")
    total = sum(part.elapsed for part in parts)
    images = sum(part.images for part in parts)
    print(
        f"\nembed, {images} photos, sscd_mini: one run {one:.2f} s; {count} tasks "
        f"{total:.2f} s in all, ratio {total / one:.2f}; "
        f"longest {max(part.elapsed for part in parts):.2f} s; "
        f"descriptors equal to the byte: {equal}"
    )


def contents(folder: Path) -> dict[str, bytes]:
    stored = read_descriptors(folder)
    return {id: row.tobytes() for id, row in zip(stored.ids, stored.descriptors, strict=True)}


def measure_join(folder: Path, rows: int, count: int) -> None:
    store(folder, synthetic(rows))
    tiles.LEAST_ROWS = max(8192, rows // 4)
    stored = read_descriptors(folder)
    started = time.perf_counter()
    copies = find_copies(stored.descriptors, 0.75, "exact")
    one = time.perf_counter() - started
    options = DedupOptions(descriptors=folder, threshold=0.75, method="exact")
    parts = [join.run(options.fill(JoinJob), task) for task in all_tasks(count)]
    started = time.perf_counter()
    joined = join_report.run(options.fill(JoinJob))
    together = time.perf_counter() - started
    assert joined is not None
    # here no two rows are identical, so that groups are rows
    found = joined.copies.pairs, joined.stored.numbers
    ends = found[1][found[0].left], found[1][found[0].right]
    equal = (
        np.array_equal(copies.pairs.left, ends[0])
        and np.array_equal(copies.pairs.right, ends[1])
        and np.array_equal(copies.pairs.similarity, found[0].similarity)
    )
    total = sum(part.elapsed for part in parts)
    print(
        f"join, {rows:,} rows of {D}, exact: one run {one:.2f} s; {count} tasks {total:.2f} s in "
        f"all, ratio {total / one:.2f}, and {together:.2f} s to collect; longest "
        f"{max(part.elapsed for part in parts):.2f} s; {len(copies.pairs):,} pairs, equal: {equal}"
    )


def measure_pruning(folder: Path, rows: int) -> tuple[float, float]:
    """Return the products a second of exact tiles, and the share of their time that groups take."""
    store(folder, synthetic(rows))
    tiles.LEAST_ROWS = tiles.LEAST_PRUNED_ROWS
    seconds, found = {}, {}
    for method in ("exact", "groups"):
        options = DedupOptions(descriptors=folder, threshold=0.75, method=method)
        done = join.run(options.fill(JoinJob), Task(1, 1))
        seconds[method], found[method] = done.elapsed, done.pairs
        peak = peak_memory(folder, method)
        print(
            f"join, {rows:,} rows of {D} in {done.tiles} tile(s), {method}: {done.elapsed:.1f} s, "
            f"{done.pairs:,} pairs; the report's process, {peak / 1e6:,.0f} MB at its peak"
        )
    joined = join_report.run(options.fill(JoinJob))
    assert joined is not None
    sampled = joined.copies.recall
    assert sampled is not None
    share = seconds["groups"] / seconds["exact"]
    print(
        f"groups: recall {found['groups'] / found['exact']:.4f} of all pairs, "
        f"{sampled.found} of {sampled.expected} on the sample; {share:.2f} of the time, with the "
        f"sample; without tiles, the report's process {peak_memory(folder, '') / 1e6:,.0f} MB"
    )
    return rows * rows / 2 / seconds["exact"], share


REPORT = """
import sys
from sscd_cli.joining import report as join_report
from sscd_cli.joining import tiles
from sscd_cli.joining.job import JoinJob
from sscd_cli.descriptors.read import read_comparable
from sscd_cli.matching import clusters
from sscd_cli.options.dedup import DedupOptions
from pathlib import Path
folder, method = Path(sys.argv[1]), sys.argv[2]
tiles.LEAST_ROWS = tiles.LEAST_PRUNED_ROWS
if method:
    options = DedupOptions(descriptors=folder, threshold=0.75, method=method)
    join_report.run(options.fill(JoinJob))
else:
    clusters.collapse(read_comparable(folder).descriptors)
with open("/proc/self/status") as status:  # the kernel's other figure is the parent's, too
    print(next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM")))
"""


def peak_memory(folder: Path, method: str) -> int:
    """Return the peak bytes of a process that collects the pairs, or only reads all rows."""
    command = [sys.executable, "-c", REPORT, str(folder), method]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def synthetic(rows: int) -> np.ndarray:
    """Unit vectors, a tenth of them noisy copies of others."""
    generator = np.random.default_rng(0)
    found = generator.standard_normal((rows, D), np.float32)
    copied = np.flatnonzero(generator.random(rows) < 0.1)
    noise = generator.uniform(0.1, 1.0, (len(copied), 1)).astype(np.float32)
    found[copied] = found[generator.integers(0, rows, len(copied))] + noise * found[copied]
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


IMAGE_BYTES = 100_000
DECODED = 5_300  # images/s of 16 cores beside a GPU (FACTS: 331 a core), below the network's rate
FLOPS = 500e12  # of an H200 in 16 bits, assumed: exact products have not been run on one here
LINK = 1.25e9  # bytes/s of a machine, 10 Gbit/s


def estimate(cpu_rate: float, share: float) -> None:
    """Print what N images take on G GPUs with 16 cores and one 10 Gbit/s link each.

    embed: N / (G · min(decoding, link / image bytes)). join: N² · D / (G · FLOPS) (half of N²
    products of 2 D operations), or N² / 2 / (G · products a second of this CPU), or that times
    the share of it that groups took here. Each tile reads the block it does not hold:
    B / 2 · N · 2 D bytes in all, over G links. Memory of a task: two blocks of N / B rows, twice:
    stored and shortened; of the report, for each row 60 bytes, and for those in clusters, taken as
    a tenth, 300, and 200 for a pair of each.
    """
    blocks = tiles.MOST_BLOCKS
    print(
        f"\nCOMPUTED, not measured: {DECODED:,} images/s decoded a GPU, images of "
        f"{IMAGE_BYTES // 1000} kB, {FLOPS / 1e12:.0f} TFLOP/s, {LINK * 8 / 1e9:.0f} Gbit/s, "
        f"{blocks} blocks; CPU: {cpu_rate / 1e6:.0f} M products/s, in groups {share:.2f} of "
        "the time, as measured above"
    )
    head = (
        "images",
        "GPUs",
        "embed h",
        "read TB",
        "written GB",
        "join h",
        "CPU join h",
        "in groups h",
        "block reads TB",
        "reading h",
        "task GB",
        "report GB",
    )
    print("  ".join(f"{word:>{width(word)}}" for word in head))
    for images in (10**8, 10**9):
        for gpus in (1, 8, 64):
            reads = blocks / 2 * images * 2 * D
            cells = (
                f"{images:,}",
                f"{gpus}",
                f"{images / gpus / min(DECODED, LINK / IMAGE_BYTES) / 3600:.1f}",
                f"{images * IMAGE_BYTES / 1e12:.0f}",
                f"{images * (2 * D + 120) / 1e9:,.0f}",
                f"{images**2 * D / gpus / FLOPS / 3600:.2f}",
                f"{images**2 / 2 / gpus / cpu_rate / 3600:,.0f}",
                f"{images**2 / 2 / gpus / cpu_rate / 3600 * share:,.0f}",
                f"{reads / 1e12:.1f}",
                f"{reads / gpus / LINK / 3600:.2f}",
                f"{2 * images / blocks * 4 * D / 1e9:.1f}",
                f"{images * (60 + (300 + 200) / 10) / 1e9:,.0f}",
            )
            print("  ".join(f"{c:>{width(w)}}" for c, w in zip(cells, head, strict=True)))


def width(word: str) -> int:
    return max(len(word), 13 if word == "images" else 6)


if __name__ == "__main__":
    main()
