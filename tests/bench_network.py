"""Images/s of the bundled network alone, against the ResNet-50 of the published models.

    python tests/bench_network.py [--batch 8] [--seconds 5]

Random pixels, each network at its own input size, all threads; the two take turns, so that a
machine whose speed drifts treats them alike. ResNet-50 has seeded weights: speed needs no others.
"""

from __future__ import annotations

import argparse
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import torch

import sscd_cli
from sscd_cli.machine import has_bfloat16
from sscd_cli.models.cpu import keep_large_allocations
from sscd_cli.models.device import choose_device
from sscd_cli.models.load import load_model
from sscd_cli.models.network import Network
from sscd_cli.models.runtime import Runtime

ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each network, in all")
    options = parser.parse_args()
    keep_large_allocations()
    print(header(), f"\nnetwork alone, batch {options.batch}, median of {ROUNDS} rounds\n")
    cases = make_cases(options.batch)
    speeds = {name: [] for name in cases}
    for runtime, pixels in cases.values():
        runtime.embed(pixels)
    for _ in range(ROUNDS):
        for name, (runtime, pixels) in cases.items():
            speeds[name].append(images_per_second(runtime, pixels, options.seconds / ROUNDS))
    baseline = median(next(iter(speeds.values())))
    print("| network | images/s | ratio |\n| --- | ---: | ---: |")
    for name, measured in speeds.items():
        print(f"| {name} | {median(measured):.1f} | {median(measured) / baseline:.1f} |")


def header() -> str:
    """Return the machine, the versions and the date in two lines."""
    return (
        f"{cpu_name()}, {torch.get_num_threads()} threads, {datetime.now(UTC):%Y-%m-%d}\n"
        f"sscd {sscd_cli.__version__}, torch {torch.__version__}, "
        f"Python {platform.python_version()}"
    )


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "CPU")


def make_cases(batch: int) -> dict[str, tuple[Runtime, torch.Tensor]]:
    """Return runtimes with their pixels; the baseline comes first."""
    device, cases = choose_device("cpu"), {}
    torch.manual_seed(0)
    cases["ResNet-50, 320×320, fp32"] = (
        Runtime.of(Network("resnet50", 512), device, "fp32"),
        pixels(batch, 320),
    )
    for precision in ("fp32", "bf16") if has_bfloat16() else ("fp32",):
        model = load_model(device="cpu", precision=precision)
        size = model.spec.recipe.size
        name = f"{model.spec.name}, {size}×{size}, {precision}"
        cases[name] = (model.runtime, pixels(batch, size))
    return cases


def pixels(batch: int, size: int) -> torch.Tensor:
    return torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)


def images_per_second(runtime: Runtime, pixels_B3HW: torch.Tensor, seconds: float) -> float:
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        runtime.embed(pixels_B3HW)
        count += len(pixels_B3HW)
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
