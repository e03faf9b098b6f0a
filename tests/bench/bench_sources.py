"""What naming and reading images costs in each kind of source, next to a folder.

    python tests/bench/bench_sources.py [FOLDER]

The files of FOLDER (by default the gallery of the tests), packed in each way, are named and read
whole, without decoding, in the order in which they are named; then 100 of them in a random order by
their stored keys, as a check before a removal does. Prints CPU milliseconds an image: the least of
five rounds, the kinds taking turns. The bytes are compared with the folder's.
"""

from __future__ import annotations

import io
import random
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from bench_header import header

from sscd_cli.images.containers.kinds import _opened
from sscd_cli.images.read import read_bytes, stored_ref
from sscd_cli.images.refs import ImageRef
from sscd_cli.images.sources import iter_images

ROUNDS = 5
SAMPLE = 100
LIMIT = 1 << 30


def pack(files: dict[str, bytes], work: Path) -> dict[str, Path]:
    """Write the files in each kind of container."""
    made = {kind: work / f"images.{kind}" for kind in ("tar", "tar.gz", "zip", "parquet")}
    for kind, mode in (("tar", "w"), ("tar.gz", "w:gz")):
        with tarfile.open(made[kind], mode) as tar:  # type: ignore[call-overload]
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    with zipfile.ZipFile(made["zip"], "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    table = pa.table({"image": list(files.values())})
    pq.write_table(table, made["parquet"], row_group_size=100)
    return made


def spent(work: Callable[[], object]) -> float:
    """Return the CPU seconds of a call that finds no container open."""
    _opened.cache_clear()
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(source: Path, expected: list[bytes]) -> tuple[float, float]:
    """Return the CPU seconds an image in order, and at random by stored keys."""
    refs: list[ImageRef] = []

    def in_order() -> None:
        refs[:] = iter_images([str(source)])
        assert [read_bytes(ref, LIMIT)[0] for ref in refs] == expected

    ordered = spent(in_order) / len(expected)
    sample = random.Random(0).sample(range(len(refs)), min(SAMPLE, len(refs)))

    def at_random() -> None:
        for row in sample:
            ref = stored_ref(refs[row].source, refs[row].id)
            assert read_bytes(ref, LIMIT)[0] == expected[row]

    return ordered, spent(at_random) / len(sample)


def main() -> None:
    folder = Path(
        sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1] / "data" / "gallery"
    )
    refs = list(iter_images([str(folder)]))
    files = {ref.id: read_bytes(ref, LIMIT)[0] for ref in refs}
    total = sum(map(len, files.values()))
    print(header())
    print(f"{len(files)} files, {total / 1e6:.1f} MB; CPU ms an image, ratio to the folder")
    with tempfile.TemporaryDirectory() as work:
        sources = {"folder": folder, **pack(files, Path(work))}
        best = dict.fromkeys(sources, (float("inf"), float("inf")))
        for _ in range(ROUNDS):
            for kind, source in sources.items():
                found = measure(source, list(files.values()))
                best[kind] = min(best[kind][0], found[0]), min(best[kind][1], found[1])
    print(f"{'':10}{'in order':>10}{'ratio':>8}{'random':>10}{'ratio':>8}")
    for kind, times in best.items():
        cells = (f"{t * 1e3:10.3f}{t / b:8.1f}" for t, b in zip(times, best["folder"], strict=True))
        print(f"{kind:10}{''.join(cells)}")


if __name__ == "__main__":
    main()
