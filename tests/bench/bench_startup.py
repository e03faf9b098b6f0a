"""CPU seconds from the call of a command to its end, next to an empty Python.

    python tests/bench/bench_startup.py [RUNS]

Help, a pair with the bundled model, and duplicates among 10,000 stored images. Prints the median
and the least of user plus system time of fresh processes. Files are cached by one run before the
first that counts. The status is 1 if a limit is exceeded.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from bench_header import header
from PIL import Image

SSCD = str(Path(sys.executable).with_name("sscd"))
STORED = 10_000


def commands(work: Path) -> dict[str, tuple[list[str], float | None]]:
    """Return each command line by name, with its limit in seconds."""
    left, right = (save_picture(work / f"{name}.jpg", seed) for seed, name in enumerate("ab"))
    store = str(save_store(work / "descriptors"))
    return {
        "python -c pass": ([sys.executable, "-c", "pass"], None),
        "sscd --help": ([SSCD, "--help"], 0.15),
        "sscd dedup --help": ([SSCD, "dedup", "--help"], 0.15),
        "sscd pair A B": ([SSCD, "pair", left, right], 3.5),
        f"sscd dedup, {STORED:,} stored": ([SSCD, "dedup", "-d", store], 1.5),
    }


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
    from sscd_cli.descriptors.schema import Provenance, Row
    from sscd_cli.descriptors.write import ShardWriter

    made = Provenance(
        model="drawn",
        weights_sha256="0" * 64,
        dimensions=512,
        preprocessing={},
        dtype="float16",
        precision="fp32",
        tool_version="0",
        pillow_version="0",
        threshold=0.75,
    )
    with ShardWriter(folder, made) as writer:
        for i, vector in enumerate(vectors, start):
            hashed = i.to_bytes(16, "big")
            writer.add([Row(f"{i}.jpg", "/drawn", vector, None, 9, 9, "JPEG", 9, 9, hashed)])
    return folder


def cpu_seconds(command: list[str]) -> float:
    """Return the CPU time of one run of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Print one line a command."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    print(header(("typer", "torch", "faiss-cpu", "pyarrow")), "\n")
    print(f"| CPU seconds of {runs} runs | median | least | limit |\n| --- | ---: | ---: | ---: |")
    slow = False
    with tempfile.TemporaryDirectory() as work:
        for name, (command, limit) in commands(Path(work)).items():
            cpu_seconds(command)
            times = [cpu_seconds(command) for _ in range(runs)]
            middle = statistics.median(times)
            bound = "" if limit is None else f"{limit:.2f}"
            print(f"| {name} | {middle:.2f} | {min(times):.2f} | {bound} |", flush=True)
            slow |= limit is not None and middle > limit
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
