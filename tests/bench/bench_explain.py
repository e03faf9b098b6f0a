"""How often `sscd pair --explain` names the edit that was made.

    python tests/bench/bench_explain.py FOLDER [--limit 40] [--model M]

Every photograph is edited by every kind of edit of `sscd eval self`, at a strength drawn by
chance, and explained. Prints Markdown: what was answered for each edit (the confusion table), how
far crop boxes were off, and the seconds a pair. `rotation`, `noise`, `screenshot` and
`combination` are among no single edits that are tried: the honest answer is none, or a part.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
from PIL import Image

from sscd_cli.commands.evaluate.self_copies import LazyImages
from sscd_cli.edits.named import EDITS, Edit
from sscd_cli.evaluation.explanation import explain
from sscd_cli.images.sources import iter_images
from sscd_cli.machines.hardware import keep_large_allocations
from sscd_cli.models.load import load_model

# the answers that are right for each edit of the table; for the others it is none
RIGHT = {
    "crop": {"crop"},
    "flip": {"flip"},
    "quarter turn": {"quarter turn"},
    "brightness": {"colour shift"},
    "contrast": {"colour shift"},
    "saturation": {"colour shift"},
    "colour shift": {"colour shift"},
    "grayscale": {"grayscale"},
    "blur": {"blur", "rescale"},
    "border": {"border"},
    "text": {"overlay"},
    "emoji": {"overlay"},
    "picture in picture": {"crop"},  # the original is cut out of the copy
    "screenshot": {"crop"},
    "resize": {"rescale"},
    "jpeg": {"recompression"},
    "webp": {"recompression"},
    "noise": {"none", "recompression"},
}


def kinds() -> dict[str, list[Edit]]:
    by_name: dict[str, list[Edit]] = defaultdict(list)
    for edit in EDITS:
        by_name[edit.name].append(edit)
    return by_name


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--model", default="sscd_mini")
    options = parser.parse_args()
    keep_large_allocations()
    model = load_model(options.model)
    refs = list(iter_images([options.folder]))
    photos = LazyImages(refs[:: max(1, len(refs) // options.limit)][: options.limit])
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    started, pairs = time.perf_counter(), 0
    for name, image, copy in copies(photos):
        found = explain(model.embed, image, copy, side=model.spec.recipe.size)
        answers[name][found.verdict.edit if found.verdict else "none"] += 1
        pairs += 1
    seconds = (time.perf_counter() - started) / pairs
    print(
        f"{len(photos)} photographs, {pairs} pairs, {options.model}, {seconds:.2f} s a pair; "
        f"{platform.machine()}, {os.cpu_count()} cores, {datetime.date.today()}\n"
    )
    print("\n".join(table(answers)))


def copies(photos: LazyImages) -> Iterator[tuple[str, Image.Image, Image.Image]]:
    for index in range(len(photos)):
        image, other = photos[index], photos[(index + 1) % len(photos)]
        rng = random.Random(index)
        for name, edits in kinds().items():
            yield name, image, rng.choice(edits).apply(image, rng, other)
        yield "another picture", image, other


def table(answers: dict[str, Counter[str]]) -> Iterator[str]:
    yield "| edit | right | answers |\n|---|---:|---|"
    shares = []
    for name, counts in answers.items():
        right = sum(counts[answer] for answer in RIGHT.get(name, {"none"}))
        if name in RIGHT:
            shares.append(right / counts.total())
        said = ", ".join(f"{answer} {count}" for answer, count in counts.most_common())
        yield f"| {name} | {right / counts.total():.2f} | {said} |"
    yield f"| mean over the edits that are tried | {np.mean(shares):.2f} | |"


if __name__ == "__main__":
    main()
