"""What precision and decoding cost in quality: µAP on edited copies with the bundled network.

    python tests/bench/bench_quality.py PHOTOS [--originals 40] [--distractors 100]

Copies of the first photographs by every edit of `sscd eval self` are searched among these and some
further ones. Every picture is enlarged twice and saved as a JPEG first, so that fast decoding has
something to leave out. All ways see the same files; int8 is the bundled file. The cosines are those
of the photographs' descriptors with float32's of exact decoding. The status is 1 if
`--precision auto` loses more than 0.002 µAP to float32.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from bench_header import header
from numpy.typing import NDArray
from PIL import Image

from sscd_cli.images.decode import Decoded, decode
from sscd_cli.images.preprocess import Recipe
from sscd_cli.images.refs import ImageRef
from sscd_cli.machines.hardware import core_count, has_bfloat16
from sscd_cli.models.catalogue.registry import BUNDLED, find_model
from sscd_cli.models.load import load_model

Embed = Callable[[Sequence[Image.Image]], NDArray[np.float32]]
MOST_LOST = 0.002
ENLARGED = 2


def main() -> int:
    from sscd_cli.evaluation.self_copies import evaluate_copies

    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--originals", type=int, default=40)
    parser.add_argument("--distractors", type=int, default=100)
    options = parser.parse_args()
    print(header(("torch", "pillow", "onnxruntime")), "\n")
    paths = sorted(p for p in options.photos.iterdir() if p.suffix.lower() in (".jpg", ".png"))
    photos = [Image.open(path).convert("RGB") for path in paths]
    originals, others = photos[: options.originals], photos[options.originals :]
    others = others[: options.distractors]
    with tempfile.TemporaryDirectory() as cache, ThreadPoolExecutor(core_count()) as pool:
        os.environ["SSCD_CACHE"] = cache
        files = Files(Path(cache), pool)
        ways = dict(ways_of(files))
        reports = {n: evaluate_copies(way, originals, others) for n, way in ways.items()}
        rows = {name: way(photos) for name, way in ways.items()}
    first, *_ = reports.values()
    exact, *_ = rows.values()
    cosines = {name: (exact * found).sum(axis=1) for name, found in rows.items()}
    print("| precision, decoding | µAP | lost | recall at 90 % precision | threshold ", end="")
    print("| mean cosine | least |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    lost = {name: first.micro_ap - report.micro_ap for name, report in reports.items()}
    for name, report in reports.items():
        print(
            f"| {name} | {report.micro_ap:.4f} | {lost[name]:.4f} | {report.recall:.3f} "
            f"| {report.threshold:.3f} | {cosines[name].mean():.4f} | {cosines[name].min():.4f} |"
        )
    auto = load_model(device="cpu").runtime.precision
    print(f"\n{first.total.copies:,} copies of {len(originals)} photographs among ", end="")
    print(f"{len(photos[: options.originals]) + len(others)}; `auto` is {auto} here, fast.")
    return int(lost[f"{auto}, fast"] > MOST_LOST)


class Files:
    """The pictures that were asked for last as pixels, by the way they were decoded."""

    def __init__(self, folder: Path, pool: ThreadPoolExecutor) -> None:
        self.folder, self.pool = folder, pool
        self.images: Sequence[Image.Image] = ()
        self.pixels: dict[str, NDArray[np.uint8]] = {}
        self.recipe = find_model(BUNDLED).recipe

    def decoded(self, images: Sequence[Image.Image], way: str) -> NDArray[np.uint8]:
        """Return uint8 (N, H, W, 3)."""
        if images is not self.images:
            rows = list(self.pool.map(self._both, range(len(images)), images))
            for index, name in enumerate(("exact", "fast")):
                self.pixels[name] = np.stack([row[index] for row in rows])
            self.images = images
        return self.pixels[way]

    def _both(self, number: int, image: Image.Image) -> list[NDArray[np.uint8]]:
        path = self.folder / f"{number}.jpg"
        large = (image.width * ENLARGED, image.height * ENLARGED)
        image.resize(large, Image.Resampling.BICUBIC).save(path, quality=90)
        recipes = (replace(self.recipe, decode="exact"), replace(self.recipe, decode="fast"))
        return [_pixels(path, recipe) for recipe in recipes]


def ways_of(files: Files) -> list[tuple[str, Embed]]:
    """Return each way to embed, float32 with exact decoding first."""
    precisions = ["fp32", *(["bf16"] if has_bfloat16() else []), "int8"]
    models = {name: load_model(device="cpu", precision=name) for name in precisions}

    def embed(name: str, way: str) -> Embed:
        return lambda images: models[name].runtime.embed(files.decoded(images, way))

    pairs = product(precisions, ("exact", "fast"))
    return [(f"{name}, {way}", embed(name, way)) for name, way in pairs]


def _pixels(path: Path, recipe: Recipe) -> NDArray[np.uint8]:
    row = decode(ImageRef("", "", str(path)), recipe)
    assert isinstance(row, Decoded)
    assert row.pixels is not None
    return row.pixels


if __name__ == "__main__":
    sys.exit(main())
