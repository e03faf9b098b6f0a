"""Images/s from files to shards: the bundled model beside imagededup's PHash, ResNet-50 beside
the published snippet; and what fast decoding does to descriptors.

    python tests/bench/bench_embed.py PHOTOS [--small 1000] [--large 40] [--rounds 3]

The files are made from the photographs: small ones of 500 × 375 pixels and large ones of 12
megapixels, JPEG, no two alike. Imports and loading the model are left out on both sides. PHash
runs in as many processes as sscd has threads, fed file by file; the snippet is that of
published_snippet.py. ResNet-50 has seeded weights: speed needs no others, and decodes exactly.
Beside ours stand the share of the network's own images/s, measured in turn with it as in
bench_network, and what the time of its threads went to.
"""

from __future__ import annotations

import argparse
import io
import logging
import math
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
import types
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median

import numpy as np
from bench_header import header
from bench_network import pixels, streams
from PIL import Image
from published_snippet import seeded_resnet, snippet_process, whole_seconds

from sscd_cli.commands import embed
from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.images.decode import decode
from sscd_cli.images.preprocess import RECIPES
from sscd_cli.images.refs import ImageRef
from sscd_cli.machines.hardware import core_count, has_bfloat16
from sscd_cli.models.files.safetensors_file import save_network
from sscd_cli.models.load import load_model
from sscd_cli.options.embed import EmbedOptions

BATCH = 8
NETWORK_SECONDS = 2.0


@dataclass
class Case:
    """seconds: of embedding a folder. network: images/s of the network alone, None if not ours.
    work: seconds by stage of all runs."""

    seconds: Callable[[Path], float]
    network: Callable[[float], float] | None = None
    work: Counter[str] = field(default_factory=Counter)


PRECISIONS = ["fp32", *(["bf16"] if has_bfloat16() else []), "int8"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--small", type=int, default=1000)
    parser.add_argument("--large", type=int, default=40)
    parser.add_argument("--resnet", type=int, default=48, help="small images for ResNet-50")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(header(("torch", "pillow", "numpy", "imagededup")), "\n")
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        os.environ["SSCD_CACHE"] = str(work / "cache")
        photos = sorted(p for p in options.photos.iterdir() if p.suffix.lower() in (".jpg", ".png"))
        small = make_files(photos, work / "small", options.small, (500, 375))
        large = make_files(photos, work / "large", options.large, (4000, 3000))
        few = make_files(photos, work / "few", options.resnet, (500, 375))
        resnet = save_resnet(work / "resnet50.safetensors")
        bundled = {"PHash": Case(phash)} if phash_encoder() else {}
        bundled |= {f"sscd_mini {p}": ours("sscd_mini", p, work) for p in PRECISIONS}
        print(f"| {core_count()} threads or processes | images/s | ratio ", end="")
        print("| of its network | work |\n| --- | ---: | ---: | ---: | --- |")
        if options.small:
            table("500 × 375", bundled, small, options.rounds)
            table("12 megapixels", bundled, large, options.rounds)
        with snippet_process() as process:
            published = {"snippet, traced fp32": Case(snippet(process))}
            floats = [p for p in PRECISIONS if p != "int8"]
            published |= {f"ResNet-50 {p}": ours(str(resnet), p, work) for p in floats}
            published["ResNet-50 int8"] = ours(str(quantised(resnet, few)), "auto", work)
            table("500 × 375", published, few, options.rounds)
            table("12 megapixels", published, large, options.rounds)
        print("\nfast against exact decoding, cosine of the bundled model's float32 descriptors")
        for name, folder in (("500 × 375", few), ("12 megapixels", large)):
            print(f"{name}: {agreement(folder)}")


def table(size: str, cases: dict[str, Case], folder: Path, rounds: int) -> None:
    """Print a line a case; the first is the baseline. The cases take turns."""
    images = len(list(folder.iterdir()))
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    alone: dict[str, list[float]] = {name: [] for name in cases}
    for case in cases.values():
        case.work.clear()
    for _ in range(rounds):
        for name, case in cases.items():
            seconds[name].append(case.seconds(folder))
            alone[name].append(case.network(NETWORK_SECONDS) if case.network else math.inf)
    baseline = median(next(iter(seconds.values())))
    for name, case in cases.items():
        speed = images / median(seconds[name])
        own = f"{speed / median(alone[name]):.0%}" if case.network else ""
        whole = case.work.total() or 1.0
        work = ", ".join(f"{stage} {part / whole:.0%}" for stage, part in case.work.most_common(3))
        ratio = baseline * speed / images
        print(f"| {name}, {size} | {speed:.1f} | {ratio:.2f} | {own} | {work} |", flush=True)


def make_files(photos: list[Path], folder: Path, count: int, size: tuple[int, int]) -> Path:
    """Write `count` JPEGs of a size; bytes after the end make files of the same picture differ."""
    folder.mkdir()
    made = [_jpeg(path, size) for path in photos[:count]]
    for number in range(count):
        data = made[number % len(made)] + number.to_bytes(4, "big")
        (folder / f"{number:06}.jpg").write_bytes(data)
    return folder


def _jpeg(path: Path, size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    image = Image.open(path).convert("RGB").resize(size, Image.Resampling.LANCZOS)
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def ours(model: str, precision: str, work: Path) -> Case:
    spent: Counter[str] = Counter()

    def run(folder: Path) -> float:
        shutil.rmtree(work / "descriptors", ignore_errors=True)
        options = EmbedOptions(
            sources=(str(folder),),
            descriptors=work / "descriptors",
            model=model,
            precision=precision,
            device="cpu",
        )
        result = embed.run(options)
        spent.update(result.seconds)
        assert len(read_descriptors(work / "descriptors")) == len(list(folder.iterdir()))
        return result.elapsed

    def network(seconds: float) -> float:
        loaded = load_model(model, device="cpu", precision=precision)
        return streams(loaded.runtime.embed, pixels(BATCH, loaded.spec.recipe.size).numpy())(
            seconds
        )

    return Case(run, network, spent)


def phash_encoder() -> object | None:
    """Return imagededup's PHash without its networks, which need a torchvision that fits torch."""
    models = types.ModuleType("imagededup.utils.models")
    models.CustomModel = object  # type: ignore[attr-defined]
    sys.modules.setdefault("imagededup.utils.models", models)
    networks = types.ModuleType("imagededup.methods.cnn")
    networks.CNN = object  # type: ignore[attr-defined]
    sys.modules.setdefault("imagededup.methods.cnn", networks)
    logging.getLogger("imagededup").setLevel(logging.WARNING)
    try:
        from imagededup.methods import PHash
    except ImportError as error:
        print(f"imagededup, or what it needs, is not installed: no PHash ({error})")
        return None
    return PHash(verbose=False)


def phash(folder: Path) -> float:
    files = sorted(folder.iterdir())
    start = time.perf_counter()
    with multiprocessing.get_context("fork").Pool(core_count()) as pool:
        hashes = list(pool.imap(_encode, files, 8 if len(files) > 200 else 1))
    assert all(hashes)
    return time.perf_counter() - start


def _encode(path: Path) -> str | None:
    encoder = phash_encoder()
    return encoder.encode_image(image_file=str(path))  # type: ignore[union-attr, no-any-return]


def save_resnet(path: Path) -> Path:
    recipe = RECIPES["skew-320"]
    save_network(path, seeded_resnet(), {"name": "seeded", "preprocessing": asdict(recipe)})
    return path


def quantised(weights: Path, folder: Path) -> Path:
    """Write a weight file in 8 bits, by `sscd models quantise`."""
    made = weights.with_suffix(".onnx")
    words = ["models", "quantise", str(weights), str(folder), "-o", str(made)]
    subprocess.run([sys.executable, "-m", "sscd_cli", *words], check=True)
    return made


def snippet(process: Executor) -> Callable[[Path], float]:
    return lambda folder: process.submit(whole_seconds, sorted(folder.iterdir())).result()


def agreement(folder: Path) -> str:
    model = load_model(device="cpu", precision="fp32")
    found = []
    for way in ("exact", "fast"):
        recipe = replace(model.spec.recipe, decode=way)
        rows = [decode(ImageRef("", "", str(p)), recipe).pixels for p in _some(folder)]  # type: ignore[union-attr]
        found.append(model.runtime.embed(np.stack(rows)))  # type: ignore[arg-type]
    cosine = (found[0] * found[1]).sum(axis=1)
    return f"mean {cosine.mean():.6f}, least {cosine.min():.6f}, of {len(cosine)}"


def _some(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())[:100]


if __name__ == "__main__":
    main()
