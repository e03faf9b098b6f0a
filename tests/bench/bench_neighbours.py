"""What every command that embeds keeps of its speed beside one busy program on each core.

    python tests/bench/bench_neighbours.py PHOTOS [--rounds 2] [--only WORD...]

A fair share is half. Commands run in turn alone and beside the programs, which do nothing but
count; the median of each is taken. ResNet-50 has seeded weights: speed needs no others. The status
is 1 if a command keeps less than 0.4.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench_header import header

from sscd_cli.machines.hardware import core_count

SSCD = str(Path(sys.executable).with_name("sscd"))
LEAST = 0.4


@contextmanager
def busy() -> Iterator[None]:
    """Keep every core busy with a program of its own."""
    programs = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(core_count())
    ]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def commands(photos: Path, work: Path) -> dict[str, list[str]]:
    """Return each command line by name; those that write do so below `work / "new"`."""
    some = sorted(str(path) for path in photos.iterdir() if path.suffix.lower() in (".jpg", ".png"))
    few = work / "few"
    few.mkdir()
    for path in some[:8]:
        shutil.copy(path, few)
    store, new, resnet = str(work / "stored"), str(work / "new"), str(work / "resnet50.safetensors")
    return {
        "embed": ["embed", str(photos), "-d", new],
        "dedup SOURCE": ["dedup", str(photos), "-d", new],
        "dedup, stored": ["dedup", "-d", store],
        "pair": ["pair", *some[:2]],
        "pair --explain": ["pair", *some[:2], "--explain"],
        "search": ["search", *some[:64], "-d", store],
        "calibrate": ["calibrate", "-d", store, "--sample", "12", "-p", "0.5", "-o", f"{new}.json"],
        "eval self": ["eval", "self", str(few)],
        "ResNet-50: embed": ["embed", *some[:48], "-d", new, "-m", resnet],
        "ResNet-50: pair": ["pair", *some[:2], "-m", resnet, "-t", "0.5"],
        "ResNet-50: eval self": ["eval", "self", *some[:2], "-m", resnet],
    }


def save_resnet(work: Path) -> None:
    from bench_embed import save_resnet

    save_resnet(work / "resnet50.safetensors")


def seconds(words: list[str], work: Path) -> float:
    """Run a command from nothing."""
    shutil.rmtree(work / "new", ignore_errors=True)
    started = time.perf_counter()
    ran = subprocess.run([SSCD, *words], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{words[0]}: {ran.stderr.strip()}")
    return time.perf_counter() - started


def main() -> int:
    """Print a line a command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", metavar="WORD")
    options = parser.parse_args()
    print(header(("onnxruntime", "torch", "numpy")), "\n")
    print("| command | seconds alone | beside | keeps |\n| --- | ---: | ---: | ---: |")
    fair = True
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        save_resnet(work)
        for name, words in commands(options.photos, work).items():
            if options.only and not any(word in name for word in options.only):
                continue
            if "stored" in str(words) and not (work / "stored").exists():
                subprocess.run(
                    [SSCD, "embed", "-q", str(options.photos), "-d", str(work / "stored")],
                    check=True,
                )
            alone, beside = [], []
            for _ in range(options.rounds):
                alone.append(seconds(words, work))
                with busy():
                    beside.append(seconds(words, work))
            keeps = median(alone) / median(beside)
            fair &= keeps >= LEAST
            print(f"| {name} | {median(alone):.2f} | {median(beside):.2f} | {keeps:.2f} |")
            sys.stdout.flush()
    return int(not fair)


if __name__ == "__main__":
    sys.exit(main())
