"""What a GPU embeds and joins, and which of two limits it meets: its own, or decoding for it.

    python tests/bench/bench_cuda.py PHOTOS [--files 20000] [--large 1000] [--rows 1000000]

Images/s of the network alone (pixels from page-locked memory, the next batch begun before one is
waited for), of decoding alone (all cores), and from files to shards, with the bundled model and a
ResNet-50 of seeded weights. The files are made from the photographs as in `bench_embed`, 500 × 375
pixels. Then JPEGs of 12 megapixels, which the GPU decodes itself: images/s of all cores and of it,
and how near their descriptors are. Join: pairs of rows compared a second, of synthetic descriptors
as in `bench_match`, on the GPU and, of fewer rows, on the CPU; both must find the same pairs of
these.

Needs a GPU: without one it says so and ends with 2. It was never run on one.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from bench_embed import make_files, save_resnet
from bench_header import header
from bench_match import THRESHOLD, synthetic
from numpy.typing import NDArray

from sscd_cli.commands import embed
from sscd_cli.embedding.job import Job
from sscd_cli.embedding.on_gpu import completed, load_batches
from sscd_cli.embedding.stream import Group, Lists, default_batch
from sscd_cli.images.sources import iter_images
from sscd_cli.machines.hardware import core_count
from sscd_cli.matching.join import Pairs, find_pairs
from sscd_cli.models.load import Model, load_model
from sscd_cli.options.embed import EmbedOptions

CPU_ROWS = 20_000
LEAST_COSINE = 0.999  # of what a GPU and a core make of a JPEG


class Rates(NamedTuple):
    """Images/s."""

    network: float
    decoding: float
    whole: float


class Decoded(NamedTuple):
    """Images/s, and the pixels of each batch."""

    rate: float
    batches: list[list[Group]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--large", type=int, default=1_000, help="files of 12 megapixels")
    parser.add_argument("--seconds", type=float, default=10.0, help="for a network alone")
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("bench_cuda needs a CUDA device, and PyTorch finds none", file=sys.stderr)
        raise SystemExit(2)
    print(header(("torch", "pillow", "numpy")))
    print(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}\n")
    photos = sorted(p for p in given.photos.iterdir() if p.suffix.lower() in (".jpg", ".png"))
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        folder = make_files(photos, work / "files", given.files, (500, 375))
        models = {"sscd_mini": "sscd_mini", "ResNet-50": str(save_resnet(work / "r.safetensors"))}
        rates = {name: embedding(m, "cuda", folder, given.seconds) for name, m in models.items()}
        large = make_files(photos, work / "large", given.large, (4000, 3000))
        jpegs = jpeg_table(load_model(device="cuda"), large)
        rates["sscd_mini, 12 megapixels"] = embedding("sscd_mini", "cuda", large, given.seconds)
    print(embedding_table(rates))
    print(f"\n{jpegs}")
    print(f"\n{join_table('cuda', given.rows, CPU_ROWS)}")


def embedding(name: str, device: str, folder: Path, seconds: float) -> Rates:
    """Measure each step alone, then all of them together."""
    model = load_model(name, device=device)
    decoding = decoding_alone(model, folder, on_gpu=model.runtime.lane is not None)
    return Rates(network_alone(model, seconds), decoding.rate, whole(name, device, folder))


def network_alone(model: Model, seconds: float) -> float:
    size, batch = model.spec.recipe.size, default_batch(model)
    pixels = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    if model.runtime.device.type == "cuda":
        pixels = pixels.pin_memory()
    for _ in range(8):  # libraries, and the graph
        model.runtime.embed(pixels)
    waiting, images, started = deque([model.runtime.start(pixels)]), 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        waiting.append(model.runtime.start(pixels))
        images += len(waiting.popleft()())
    return images / (time.perf_counter() - started)


def decoding_alone(model: Model, folder: Path, *, on_gpu: bool) -> Decoded:
    """Decode as beside a GPU, in processes that hand over batches; starting them counts.

    on_gpu: which decodes what they leave to it.
    """
    options = EmbedOptions(sources=(str(folder),))
    decoder = replace(options.fill(Job).decoder(model), leaves_jpegs=on_gpu)
    started = time.perf_counter()
    batches = load_batches(
        Lists(iter_images(options.sources), default_batch(model)),
        decoder,
        workers=core_count(),
        pin_memory=model.runtime.device.type == "cuda",
    )
    made = [completed(batch, decoder, model) for batch in batches]
    rate = sum(len(batch.outcomes) for batch in made) / (time.perf_counter() - started)
    return Decoded(rate, [batch.groups for batch in made])


def jpeg_table(model: Model, folder: Path) -> str:
    """Decode large files on all cores and on the GPU, whose descriptors must agree."""
    ways = {"cores": decoding_alone(model, folder, on_gpu=False)}
    ways["GPU"] = decoding_alone(model, folder, on_gpu=True)
    cores, gpu = ([_rows(model, groups) for groups in way.batches] for way in ways.values())
    least = min(float((a * b).sum(axis=1).min()) for a, b in zip(cores, gpu, strict=True))
    if least < LEAST_COSINE:
        raise SystemExit(f"descriptors of JPEGs that the GPU decoded differ: cosine {least:.4f}")
    lines = ["| JPEGs decoded by | images/s | least cosine |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {way.rate:,.0f} | {least:.4f} |" for name, way in ways.items()]
    return "\n".join(lines)


def _rows(model: Model, groups: list[Group]) -> NDArray[np.float32]:
    """Embed a batch; its rows are in the order of its images."""
    order = np.argsort(np.concatenate([indices for indices, _ in groups]))
    return np.concatenate([model.runtime.embed(pixels) for _, pixels in groups])[order]


def whole(name: str, device: str, folder: Path) -> float:
    """From files to shards, after the model is loaded."""
    store = folder.parent / "descriptors"
    shutil.rmtree(store, ignore_errors=True)
    result = embed.run(
        EmbedOptions(sources=(str(folder),), descriptors=store, model=name, device=device)
    )
    return result.images / result.elapsed


def embedding_table(rates: dict[str, Rates]) -> str:
    """Compare the whole with the slower of its two parts, which limits it."""
    lines = ["| model | network alone | decoding alone | files to shards | limit | share of it |"]
    lines.append("| --- | ---: | ---: | ---: | --- | ---: |")
    for name, rate in rates.items():
        limit = "network" if rate.network < rate.decoding else "decoding"
        share = rate.whole / min(rate.network, rate.decoding)
        numbers = f"{rate.network:,.0f} | {rate.decoding:,.0f} | {rate.whole:,.0f}"
        lines.append(f"| {name} | {numbers} | {limit} | {share:.0%} |")
    return "\n".join(lines)


def join_table(device: str, rows: int, cpu_rows: int) -> str:
    """Time the exact join on a device and on the CPU, which must agree where both are run."""
    lines = ["| exact join | rows | seconds | pairs compared/s |", "| --- | ---: | ---: | ---: |"]
    few, found = synthetic(cpu_rows), []
    for where, some in ((device, few), ("cpu", few), (device, synthetic(rows))):
        find_pairs(some[:64], THRESHOLD, "exact", device=where)  # libraries
        started = time.perf_counter()
        found.append(find_pairs(some, THRESHOLD, "exact", device=where))
        seconds = time.perf_counter() - started
        speed = len(some) ** 2 / 2 / seconds
        lines.append(f"| {where} | {len(some):,} | {seconds:,.2f} | {speed:,.2e} |")
    if as_bytes(found[0]) != as_bytes(found[1]):
        raise SystemExit("the two joins differ")
    return "\n".join(lines)


def as_bytes(pairs: Pairs) -> list[bytes]:
    return [column.tobytes() for column in (pairs.left, pairs.right, pairs.similarity)]


if __name__ == "__main__":
    main()
