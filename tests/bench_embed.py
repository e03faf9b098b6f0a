"""Images/s from files to shards: the bundled model beside imagededup's PHash, ResNet-50 beside
the published snippet; and what fast decoding does to descriptors.

    python tests/bench_embed.py PHOTOS [--small 1000] [--large 40] [--rounds 3]

The files are made from the photographs: small ones of 500 × 375 pixels and large ones of 12
megapixels, JPEG, no two alike. Imports and loading the model are left out on both sides. PHash
runs in as many processes as sscd has threads, fed file by file. The snippet opens, resizes,
normalises and embeds image by image with a traced float32 network. ResNet-50 has seeded weights:
speed needs no others.
"""

from __future__ import annotations

import argparse
import io
import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import types
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import torch
from bench_header import header
from PIL import Image

from sscd_cli import embed
from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.images.decode import decode
from sscd_cli.images.preprocess import RECIPES
from sscd_cli.images.refs import ImageRef
from sscd_cli.machine import core_count, has_bfloat16
from sscd_cli.models.load import load_model
from sscd_cli.models.network import IMAGENET_MEAN, IMAGENET_STD, Network
from sscd_cli.models.safetensors_file import save_network
from sscd_cli.options import EmbedOptions

Case = Callable[[Path], float]  # seconds for a folder


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
        os.environ["SSCD_CACHE"] = str(work / "cache")  # int8 is calibrated anew
        photos = sorted(p for p in options.photos.iterdir() if p.suffix.lower() in (".jpg", ".png"))
        small = make_files(photos, work / "small", options.small, (500, 375))
        large = make_files(photos, work / "large", options.large, (4000, 3000))
        few = make_files(photos, work / "few", options.resnet, (500, 375))
        resnet = save_resnet(work / "resnet50.safetensors")
        bundled: dict[str, Case] = {"PHash": phash} if phash_encoder() else {}
        bundled |= {f"sscd_mini {p}": ours("sscd_mini", p, work) for p in precisions()}
        published: dict[str, Case] = {"snippet, traced fp32": snippet(resnet)}
        published |= {f"ResNet-50 {p}": ours(str(resnet), p, work) for p in precisions()}
        print(f"| {core_count()} threads or processes | images/s | ratio |\n| --- | ---: | ---: |")
        if options.small:
            table("500 × 375", bundled, small, options.rounds)
            table("12 megapixels", bundled, large, options.rounds)
        table("500 × 375", published, few, options.rounds)
        print("\nfast against exact decoding, cosine of the bundled model's float32 descriptors")
        for name, folder in (("500 × 375", small), ("12 megapixels", large)):
            print(f"{name}: {agreement(folder)}")


def precisions() -> list[str]:
    names = ["fp32", "bf16"] if has_bfloat16() else ["fp32"]
    return [*names, "int8"] if find_spec("nncf") and find_spec("openvino") else names


def table(size: str, cases: dict[str, Case], folder: Path, rounds: int) -> None:
    """Print a line a case; the first is the baseline. The cases take turns."""
    images = len(list(folder.iterdir()))
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            seconds[name].append(case(folder))
    baseline = median(next(iter(seconds.values())))
    for name, measured in seconds.items():
        taken = median(measured)
        print(f"| {name}, {size} | {images / taken:.1f} | {baseline / taken:.2f} |", flush=True)


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
    def run(folder: Path) -> float:
        shutil.rmtree(work / "descriptors", ignore_errors=True)
        options = EmbedOptions(
            sources=(str(folder),),
            descriptors=work / "descriptors",
            model=model,
            precision=precision,
            device="cpu",
        )
        seconds = embed.run(options).elapsed
        assert len(read_descriptors(work / "descriptors")) == len(list(folder.iterdir()))
        return seconds

    return run


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
    except ImportError:
        print("imagededup is not installed: no PHash (pip install --no-deps imagededup)")
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
    torch.manual_seed(0)
    recipe = RECIPES["skew-320"]
    save_network(
        path, Network("resnet50", 512), {"name": "seeded", "preprocessing": asdict(recipe)}
    )
    return path


def snippet(path: Path) -> Case:
    """How the published README embeds: one image at a time, float32, a traced network."""
    network = load_model(str(path), device="cpu", precision="fp32").runtime.network
    mean, std = (np.float32(v).reshape(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    torch.manual_seed(0)
    plain = Network("resnet50", 512).eval()
    plain.load_state_dict(network.state_dict(), strict=False)
    plain._normalised = lambda pixels: pixels  # type: ignore[method-assign]
    with torch.inference_mode():
        traced = torch.jit.trace(plain, torch.zeros(1, 3, 320, 320))

    def run(folder: Path) -> float:
        start = time.perf_counter()
        for file in sorted(folder.iterdir()):
            image = Image.open(file).convert("RGB").resize((320, 320), Image.Resampling.BILINEAR)
            pixels = np.asarray(image, np.float32).transpose(2, 0, 1) / 255
            with torch.inference_mode():
                traced(torch.from_numpy((pixels - mean) / std)[None])
        return time.perf_counter() - start

    return run


def agreement(folder: Path) -> str:
    model = load_model(device="cpu", precision="fp32")
    found = []
    for way in ("exact", "fast"):
        recipe = replace(model.spec.recipe, decode=way)
        rows = [decode(ImageRef("", "", str(p)), recipe).pixels for p in _some(folder)]  # type: ignore[union-attr]
        pixels = torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2)  # type: ignore[arg-type]
        found.append(model.runtime.embed(pixels))
    cosine = (found[0] * found[1]).sum(axis=1)
    return f"mean {cosine.mean():.6f}, least {cosine.min():.6f}, of {len(cosine)}"


def _some(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())[:100]


if __name__ == "__main__":
    main()
