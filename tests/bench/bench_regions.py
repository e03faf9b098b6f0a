"""Photographs and scanned pages in one set: does score normalisation against the set's own
neighbours tell copies better than plain similarity, in all of it and in either region?

    python tests/bench/bench_regions.py FOLDER [--pages N]

Copies of a third of the photographs of FOLDER by three edits each, and N scanned pages, of which a
fifth have three copies by mild edits. Prints Markdown.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
from bench_header import header
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
import other_shots

from sscd_cli.edits.named import EDITS
from sscd_cli.models.load import load_model

NORMS = (None, (1.0, 0, 2), (1.0, 3, 5), (0.5, 3, 5), (1.0, 8, 20))
Scores = NDArray[np.float32]


def scanned(image: Image.Image, number: int) -> Image.Image:
    """Lay a page on a scanner: a little turned, on grey paper, with noise."""
    rng = np.random.default_rng(number)
    turned = image.rotate(rng.normal(0, 0.6), Image.Resampling.BILINEAR, fillcolor="white")
    paper = np.asarray(turned, np.float32) * rng.uniform(0.9, 1) + rng.normal(0, 4, (1100, 850, 1))
    stream = io.BytesIO()
    Image.fromarray(paper.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=80)
    return Image.open(stream).convert("RGB")


def drawn(folder: Path, pages: int) -> tuple[list[Image.Image], NDArray[np.int64]]:
    """Return pictures, small, and which each shows: photographs from 0 on, pages below it."""
    pictures, shown = [], []
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".png"})

    def add(image: Image.Image, number: int, copied: bool, mild: bool) -> None:
        rng, edits = random.Random(number), [edit for edit in EDITS if edit.mild or not mild]
        made = [edit.apply(image, rng, image) for edit in rng.sample(edits, 3 if copied else 0)]
        for one in (image, *made):
            one.thumbnail((480, 480))
            pictures.append(one)
            shown.append(number)

    for number, path in enumerate(paths):
        with Image.open(path) as image:
            add(image.convert("RGB"), number, number % 3 == 0, mild=False)
    for number in range(pages):
        page = other_shots.pages(5000 + number // 2)[number % 2]
        add(scanned(page, number), -1 - number, number % 5 == 0, mild=True)
    return pictures, np.array(shown)


def normalised(scores_NN: Scores, norm: tuple[float, int, int] | None) -> Scores:
    if norm is None:
        return scores_NN
    weight, first, last = norm
    others = scores_NN - 2 * np.eye(len(scores_NN), dtype=np.float32)
    bias = weight * np.sort(others, axis=1)[:, ::-1][:, first : last + 1].mean(axis=1)
    return np.asarray(scores_NN - (bias[:, None] + bias) / 2)


def figures(scores: Scores, true: NDArray[np.bool_]) -> str:
    """Return average precision, and recall at 95 % precision and before the first wrong pair."""
    true = true[np.argsort(-scores, kind="stable")]
    right = np.cumsum(true)
    precision = right / np.arange(1, len(true) + 1)
    good = np.flatnonzero(precision >= 0.95)
    found = (
        float(precision[true].mean()),
        right[good[-1]] / right[-1] if len(good) else 0.0,
        right[np.argmin(true) - 1] / right[-1] if true[0] else 0.0,
    )
    return " | ".join(f"{value:.3f}" for value in found)


def compare(title: str, rows_ND: Any, shown_N: NDArray[np.int64]) -> None:
    left, right = np.triu_indices(len(rows_ND), 1)
    true = shown_N[left] == shown_N[right]
    page = shown_N < 0
    regions = {
        "all": np.ones(len(left), np.bool_),
        "photographs": ~page[left] & ~page[right],
        "pages": page[left] & page[right],
    }
    for norm in NORMS:
        scores = normalised(rows_ND @ rows_ND.T, norm)[left, right]
        for region, inside in regions.items() if page.any() else [("all", regions["all"])]:
            name = "{:.2f}[{},{}]".format(*norm) if norm else ""
            counts = f"{int(true[inside].sum()):,} | {figures(scores[inside], true[inside])}"
            print(f"| {title} | {region} | {name} | {counts} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", type=int, default=300)
    args = parser.parse_args()
    pictures, shown = drawn(args.folder, args.pages)
    model = load_model("sscd_mini", device="cpu")
    parts = [model.embed(pictures[at : at + 32]) for at in range(0, len(pictures), 32)]
    rows = np.concatenate(parts).astype(np.float32)
    print(header(("onnxruntime", "pillow", "numpy")), "\n")
    print("| set | pairs of | score normalisation | copies | µAP | recall@P95 | at no wrong pair |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    compare("photographs", rows[shown >= 0], shown[shown >= 0])
    compare("with pages", rows, shown)


if __name__ == "__main__":
    main()
