"""Images/s of the networks alone, against the published snippet: ResNet-50, traced, one by one.

    python tests/bench_network.py [--batch 8] [--seconds 5]

Random pixels, each network at its own input size, all threads; the two take turns, so that a
machine whose speed drifts treats them alike. ResNet-50 has seeded weights: speed needs no others.
The difference is the largest of any number in a descriptor from that of the same network in
float32; int8 is there if its libraries are, calibrated on random pixels.
"""

from __future__ import annotations

import argparse
import copy
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median

import numpy as np
import torch
from bench_header import header
from numpy.typing import NDArray

from sscd_cli.machine import has_bfloat16
from sscd_cli.models.cpu import keep_large_allocations
from sscd_cli.models.int8 import calibrate, use_int8
from sscd_cli.models.load import load_model
from sscd_cli.models.network import Network
from sscd_cli.models.runtime import Runtime

CPU = torch.device("cpu")
Embed = Callable[[torch.Tensor], NDArray[np.float32]]
Case = tuple[Embed, torch.Tensor]
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each network, in all")
    options = parser.parse_args()
    keep_large_allocations()
    print(header(("torch", "openvino", "nncf")))
    print(f"network alone, {torch.get_num_threads()} threads, batch {options.batch}, ")
    print(f"median of {ROUNDS} rounds\n")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["SSCD_CACHE"] = cache
        cases = make_cases(options.batch)
    speeds: dict[str, list[float]] = {name: [] for name in cases}
    found = {name: embed(some) for name, (embed, some) in cases.items()}
    for _ in range(ROUNDS):
        for name, (embed, some) in cases.items():
            speeds[name].append(images_per_second(embed, some, options.seconds / ROUNDS))
    baseline = median(next(iter(speeds.values())))
    print("| network | images/s | ratio | difference |\n| --- | ---: | ---: | ---: |")
    for name, measured in speeds.items():
        exact = next(rows for rows in found.values() if rows.shape == found[name].shape)
        off = f"{np.abs(found[name] - exact).max():.1e}"
        print(f"| {name} | {median(measured):.1f} | {median(measured) / baseline:.1f} | {off} |")


def make_cases(batch: int) -> dict[str, Case]:
    """Return what embeds pixels, with its pixels; the baseline comes first."""
    torch.manual_seed(0)
    large, small = pixels(batch, 320), pixels(batch, load_model(device="cpu").spec.recipe.size)
    network = Network("resnet50", 512)
    cases = {"snippet: ResNet-50, 320×320, traced fp32": (snippet(network), large)}
    for precision in precisions():
        runtime = Runtime.of(
            copy.deepcopy(network), CPU, "fp32" if precision == "int8" else precision
        )
        if precision == "int8":
            use_int8(runtime.network, calibrate(runtime.network, "resnet50", large))
        cases[f"ResNet-50, 320×320, {precision}"] = (runtime.embed, large)
    for precision in precisions():
        if precision == "int8":
            model = load_model(device="cpu", precision="fp32")
            calibrate(model.runtime.network, model.spec.weights_sha256, small)
        model = load_model(device="cpu", precision=precision)
        side = model.spec.recipe.size
        cases[f"{model.spec.name}, {side}×{side}, {precision}"] = (model.runtime.embed, small)
    return cases


def precisions() -> list[str]:
    names = ["fp32", "bf16"] if has_bfloat16() else ["fp32"]
    return [*names, "int8"] if find_spec("nncf") and find_spec("openvino") else names


def snippet(network: Network) -> Embed:
    plain = copy.deepcopy(network).eval()
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(plain, pixels(1, 320).float())

    def embed(pixels_B3HW: torch.Tensor) -> NDArray[np.float32]:
        with torch.inference_mode():
            return torch.cat([traced(one[None].float()) for one in pixels_B3HW]).numpy()

    return embed


def pixels(batch: int, size: int) -> torch.Tensor:
    return torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)


def images_per_second(embed: Embed, pixels_B3HW: torch.Tensor, seconds: float) -> float:
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        embed(pixels_B3HW)
        count += len(pixels_B3HW)
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
