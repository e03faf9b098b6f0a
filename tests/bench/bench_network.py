"""Images/s of the networks alone, against the published snippet.

    python tests/bench/bench_network.py [--batch 8] [--seconds 5]

Ours run as `sscd embed` runs them: one thread a core, each with batches of its own, on random
pixels of each network's input size. The snippet (see published_snippet.py) is measured whole, from
the file of one 500 × 375 JPEG to the descriptor, as people run it, and its network alone, with all
threads on one image. All take turns, so that a machine whose speed drifts treats them alike.
ResNet-50 has seeded weights: speed needs no others. The difference is the largest of any number in
a descriptor from that of the same network in float32, layer by layer; int8 is the bundled
network's own file.
"""

from __future__ import annotations

import argparse
import copy
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import torch
from bench_header import header
from numpy.typing import NDArray
from PIL import Image
from published_snippet import SIZE, network_seconds, seeded_resnet, snippet_process, whole_seconds

from sscd_cli.machines.hardware import core_count, has_bfloat16, keep_large_allocations
from sscd_cli.models.catalogue.registry import BUNDLED, BUNDLED_INT8, find_model
from sscd_cli.models.files.weights import inspect_weights, read_network
from sscd_cli.models.network import Network
from sscd_cli.models.runtime.onnx_runtime import OnnxRuntime
from sscd_cli.models.runtime.torch_runtime import Runtime

CPU = torch.device("cpu")
Speed = Callable[[float], float]  # images/s, measured for so many seconds
ROUNDS = 5
SNIPPET_IMAGES = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each network, in all")
    options = parser.parse_args()
    keep_large_allocations()
    print(header(("torch", "onnxruntime")))
    print(f"{core_count()} threads, batch {options.batch}, median of {ROUNDS} rounds\n")
    with tempfile.TemporaryDirectory() as work, snippet_process() as snippet:
        os.environ["SSCD_CACHE"] = work
        photo = save_photo(Path(work) / "photo.jpg")
        files = [photo] * SNIPPET_IMAGES
        cases: dict[str, tuple[Speed, str]] = {
            "published snippet, whole": (
                lambda _: SNIPPET_IMAGES / snippet.submit(whole_seconds, files).result(),
                "",
            ),
            "published snippet, its network": (
                lambda _: SNIPPET_IMAGES / snippet.submit(network_seconds, SNIPPET_IMAGES).result(),
                "",
            ),
        }
        bundled = find_model(BUNDLED)
        mini = read_network(inspect_weights(bundled.path))
        cases |= ours("ResNet-50", seeded_resnet(), SIZE, options.batch)
        cases |= ours(bundled.name, mini, bundled.recipe.size, options.batch)
        print_table(cases, options.seconds / ROUNDS)


def print_table(cases: dict[str, tuple[Speed, str]], seconds: float) -> None:
    speeds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, (speed, _) in cases.items():
            speeds[name].append(speed(seconds))
    found = {name: median(measured) for name, measured in speeds.items()}
    whole, network, *_ = found.values()
    print("| network | images/s | to the snippet | to its network | difference |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, (_, off) in cases.items():
        ratios = f"{found[name] / whole:.2f} | {found[name] / network:.2f}"
        print(f"| {name} | {found[name]:.1f} | {ratios} | {off} |")


def ours(name: str, network: Network, side: int, batch: int) -> dict[str, tuple[Speed, str]]:
    """Return each precision's speed and its difference from the plain network."""
    images = pixels(batch, side)
    with torch.inference_mode():
        exact = network.eval()(images.permute(0, 3, 1, 2)).numpy()
    runtimes: dict[str, Runtime | OnnxRuntime] = {
        precision: Runtime.of(copy.deepcopy(network), CPU, precision)
        for precision in ("fp32", *(["bf16"] if has_bfloat16() else []))
    }
    if name == BUNDLED:
        runtimes["int8"] = OnnxRuntime(BUNDLED_INT8)
    cases = {}
    for precision, runtime in runtimes.items():
        off = np.abs(runtime.embed(images.numpy()) - exact).max()
        speed = streams(runtime.embed, images.numpy())
        cases[f"{name}, {side}×{side}, {precision}"] = (speed, f"{off:.1e}")
    return cases


def streams(
    embed: Callable[[NDArray[np.uint8]], NDArray[np.float32]], images: NDArray[np.uint8]
) -> Speed:
    """Return what embeds the same images over and over on every core."""

    def run(until: float) -> int:
        count = 0
        while time.perf_counter() < until:
            embed(images)
            count += len(images)
        return count

    def speed(seconds: float) -> float:
        cores = core_count()
        with ThreadPoolExecutor(cores, initializer=lambda: torch.set_num_threads(1)) as pool:
            start = time.perf_counter()
            counts = list(pool.map(run, [start + seconds] * cores))
            return sum(counts) / (time.perf_counter() - start)

    return speed


def save_photo(path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((500, 375)).save(path, quality=88)
    return path


def pixels(batch: int, side: int) -> torch.Tensor:
    return torch.randint(0, 256, (batch, side, side, 3), dtype=torch.uint8)


if __name__ == "__main__":
    main()
