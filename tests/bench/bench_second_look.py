"""What a second look says of copies and of other shots, and how long it takes.

    python tests/bench/bench_second_look.py FOLDER [--photos N] [--pairs N]

Copies of N photographs of FOLDER by every edit of `sscd eval self`, copies of drawn pages, forms,
codes, screens and logos by the mild edits, and N pairs a kind of `tests/other_shots.py`. Prints
Markdown.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bench_header import header
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
import other_shots

from sscd_cli.advice.pixels.verdict import second_look, small
from sscd_cli.choices import LOOK_VERDICTS
from sscd_cli.edits.named import EDITS

DRAWN = ("pages", "forms", "codes", "screens", "logos")
FIRST = 9000  # number of the first drawn pair: some of those below served to choose the limits


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=50)
    args = parser.parse_args()
    paths = sorted(p for p in args.folder.rglob("*") if p.suffix.lower() in {".jpg", ".png"})
    paths = random.Random(17).sample(paths, len(paths))
    sets = {
        "other shots": other_pairs(args.pairs, paths),
        "copies of drawn": drawn_copies(args.pairs // 5),
        "copies of photographs": photo_copies(paths[: args.photos], paths[-args.photos :]),
    }
    print(header(("numpy", "pillow", "opencv-python-headless")))
    took = []
    for title, pairs in sets.items():
        verdicts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for name, one, other in pairs:
            pictures = small(one), small(other)
            start = time.process_time()
            verdicts[name][second_look(*pictures)] += 1
            took.append(time.process_time() - start)
        _print_table(title, verdicts)
    quantiles = np.quantile(took, (0.5, 0.9, 1)) * 1000
    print(
        "\nms a pair, one core: median {:.0f}, nine of ten {:.0f}, most {:.0f}".format(*quantiles)
    )


def other_pairs(count: int, paths: list[Path]) -> Iterator[tuple[str, Image.Image, Image.Image]]:
    for number in range(FIRST, FIRST + count):
        for kind in DRAWN:
            yield kind, *getattr(other_shots, kind)(number)
        photo = _read(paths[number % len(paths)])
        yield "products", *other_shots.products(number, photo if number % 2 else None)
        yield "bursts", *other_shots.bursts(number, photo)


def drawn_copies(count: int) -> Iterator[tuple[str, Image.Image, Image.Image]]:
    for number in range(FIRST, FIRST + count):
        for kind in DRAWN:
            one, other = getattr(other_shots, kind)(number)
            for edit in EDITS:
                if edit.mild:
                    yield kind, one, edit.apply(one, random.Random(number), other)


def photo_copies(
    paths: list[Path], others: list[Path]
) -> Iterator[tuple[str, Image.Image, Image.Image]]:
    for path, beside in zip(paths, others, strict=True):
        one, other = _read(path), _read(beside)
        for number, edit in enumerate(EDITS):
            seed = f"{path.name} {number}"
            yield f"{edit.name}, {edit.strength}", one, edit.apply(one, random.Random(seed), other)


def _read(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _print_table(title: str, verdicts: dict[str, Counter[str]]) -> None:
    print(f"\n| {title} | pairs | {' | '.join(LOOK_VERDICTS)} |\n|---|---|---|---|---|")
    for name, counts in {**verdicts, "all": sum(verdicts.values(), Counter())}.items():
        total = sum(counts.values())
        shares = " | ".join(f"{counts[verdict] / total:.1%}" for verdict in LOOK_VERDICTS)
        print(f"| {name} | {total} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
