"""CPU seconds from the call of a command to its end, and its peak memory, next to an empty Python.

    python tests/bench/bench_startup.py [RUNS] [--photographs SOURCE...]

Help, a pair with the bundled model, duplicates among 10,000 stored images, and of 100 small
pictures from their files. With --photographs `sscd dedup` of them all runs once. Prints the median
and the least of user plus
system time of fresh processes. Files are cached by one run before the first that counts. The
status is 1 if a limit is exceeded.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench_header import Took, header, took
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
SSCD = str(Path(sys.executable).with_name("sscd"))
STORED = 10_000
SMALL = 100


@dataclass(frozen=True)
class Case:
    """A command line; limits in CPU seconds and in MB."""

    words: list[str]
    seconds: float | None = None
    peak: float | None = None


def cases(work: Path) -> dict[str, Case]:
    """Return what is measured, by name."""
    # a process of its own draws: what it takes would count as the commands' memory
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(draw, work).result()
    left, right, small, store, again = (
        str(work / name) for name in ("a.jpg", "b.jpg", "small", "descriptors", "again")
    )
    return {
        "python -c pass": Case([sys.executable, "-c", "pass"]),
        "sscd --help": Case([SSCD, "--help"], 0.15),
        "sscd dedup --help": Case([SSCD, "dedup", "--help"], 0.15),
        "sscd pair A B": Case([SSCD, "pair", left, right], 0.7, 200),
        f"sscd dedup, {STORED:,} stored": Case([SSCD, "dedup", "-d", store], 1.5),
        f"sscd dedup, {SMALL} small": Case([SSCD, "dedup", small, "-d", again], 1.5, 200),
    }


def draw(work: Path) -> None:
    """Save what the commands are about."""
    for seed, name in enumerate("ab"):
        save_picture(work / f"{name}.jpg", seed)
    save_store(work / "descriptors")
    (work / "small").mkdir()
    for seed in range(SMALL):
        save_picture(work / "small" / f"{seed}.jpg", seed)


def save_picture(path: Path, seed: int) -> str:
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((640, 480)).save(path)
    return str(path)


def save_store(folder: Path) -> Path:
    """Write unit vectors of which a tenth are noisy copies; the files need not exist."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((STORED, 512)).astype(np.float32)
    copies = STORED // 10
    vectors[-copies:] = vectors[:copies] + 0.3 * vectors[-copies:]
    return store(folder, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def store(folder: Path, vectors: np.ndarray, start: int = 0) -> Path:
    """Write descriptors as `sscd embed` does, those of images numbered from `start` on."""
    from conftest import drawn_provenance

    from sscd_cli.descriptors.schema import Row
    from sscd_cli.descriptors.write import ShardWriter

    with ShardWriter(folder, drawn_provenance(512, dtype="float16", preprocessing={})) as writer:
        for i, vector in enumerate(vectors, start):
            hashed = i.to_bytes(16, "big")
            writer.add([Row(f"{i}.jpg", "/drawn", vector, None, 9, 9, "JPEG", 9, 9, hashed)])
    return folder


def used(words: list[str], work: Path) -> Took:
    """Return what one run of a command took."""
    shutil.rmtree(work / "again", ignore_errors=True)
    compiled = os.environ | {  # as what pip installs is
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(work / "compiled"),
    }
    return took(words, stdout=subprocess.DEVNULL, env=compiled)


def line(name: str, case: Case, runs: int, work: Path) -> bool:
    """Print what a command took, and return whether that is within its limits."""
    figures = [used(case.words, work) for _ in range(runs)]
    times = [one.cpu for one in figures]
    middle, peak = statistics.median(times), statistics.median(one.peak for one in figures)
    bounds = ("" if case.seconds is None else f"{case.seconds:.2f}"), str(case.peak or "")
    print(f"| {name} | {middle:.2f} | {min(times):.2f} | {bounds[0]} ", end="")
    print(f"| {peak:.0f} | {bounds[1]} |", flush=True)
    return middle <= (case.seconds or np.inf) and peak <= (case.peak or np.inf)


def main() -> int:
    """Print one line a command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=int, nargs="?", default=10)
    parser.add_argument("--photographs", nargs="*", default=[], metavar="SOURCE")
    options = parser.parse_args()
    print(header(("typer", "onnxruntime", "numpy", "pyarrow")), "\n")
    print(f"| CPU seconds of {options.runs} runs | median | least | limit | peak MB | limit |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    within = True
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        for name, case in cases(work).items():
            used(case.words, work)
            within &= line(name, case, options.runs, work)
        if options.photographs:
            words = [SSCD, "dedup", *options.photographs, "-d", str(work / "again")]
            within &= line("sscd dedup, photographs", Case(words, peak=250), 1, work)
    return int(not within)


if __name__ == "__main__":
    sys.exit(main())
