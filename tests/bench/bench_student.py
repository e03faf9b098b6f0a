"""µAP and recall of networks on hard edits, while one is being trained: minutes for several.

    python tests/bench/bench_student.py PHOTOS MODEL... [--size 192] [--cache FOLDER]

Two sets, each drawn from another half of the photographs and searched among all of them. `edits`:
26 of the strong edits of `sscd eval self`. `web`: crops to 45 %, bands, pictures laid over others,
telephones' screens, perspective, stripes, coarse pixels, and chains of four edits. MODEL is a name
or a file, ONNX too; every one sees the same squares of `--size` pixels, whatever its own recipe, so
that sizes can be compared. The squares are kept in `--cache`. Prints Markdown.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from bench_header import header
from numpy.typing import NDArray
from PIL import Image

from sscd_cli.edits import overlays
from sscd_cli.edits.named import Apply, Edit, combine, crop, named
from sscd_cli.models.load import Model, load_model

STRONG = """crop, 70 % of area; crop, 50 % of area; flip, left-right; flip, top-bottom;
quarter turn, 90°; quarter turn, 180°; rotation, 15°; brightness, factor 0.6; contrast, factor 1.6;
colour shift, hue 90°; colour shift, cold; grayscale, grey; grayscale, sepia; blur, 2 % of side;
noise, deviation 50; border, 15 % of side; text, 4 lines; emoji, 1 large;
picture in picture, 50 % of area; picture in picture, 35 % of area; screenshot, post;
screenshot, phone; screenshot, window; resize, stretched 4:3; jpeg, quality 10;
combination, three of all"""
NEVER_IN_CHAINS = ("combination", "picture in picture", "crop", "screenshot")
Picture = Image.Image
Pixels = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("photos", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    print(header(("torch", "onnxruntime", "pillow")), "\n")
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder)
        cache.mkdir(parents=True, exist_ok=True)
        references, sets = squares(options.photos, options.size, cache)
    print("| network | pixels | edits: µAP | recall at 90 % | web: µAP | recall at 90 % |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name in options.models:
        model = load_model(name, device="cpu")
        known = embedded(model, references)
        cells = [scores(embedded(model, rows) @ known.T, labels) for rows, labels in sets]
        shown = " | ".join(f"{value:.4f}" for pair in cells for value in pair)
        print(f"| {Path(name).name} | {options.size} | {shown} |", flush=True)


def squares(
    photos: Path, size: int, cache: Path
) -> tuple[Pixels, list[tuple[Pixels, NDArray[np.int64]]]]:
    """Return the photographs and, for each set, the copies and whose they are."""
    paths = sorted(path for path in photos.iterdir() if path.suffix in (".jpg", ".png"))
    images = [Image.open(path).convert("RGB") for path in paths]
    strong = [tuple(word.strip() for word in text.split(",")) for text in STRONG.split(";")]
    drawn = {
        "edits": (0, [named(name, strength).apply for name, strength in strong]),
        "web": (1, [*web().values(), *[chain([named(*words) for words in strong])] * 2]),
    }
    sets = []
    for name, (first, edits) in drawn.items():
        which = range(first, len(images), 2)
        path = cache / f"{name}-{size}.npy"
        if not path.exists():
            rows = [square(image, size) for image in copies(name, images, which, edits)]
            np.save(path, np.stack(rows))
        sets.append((np.load(path), np.repeat(np.array(which), len(edits))))
    return np.stack([square(image, size) for image in images]), sets


def copies(name: str, images: list[Picture], which: range, edits: list[Apply]) -> Iterator[Picture]:
    for index in which:
        for number, edit in enumerate(edits):
            rng = random.Random(f"{name}/{index}/{number}")
            other = images[(index + 1 + rng.randrange(len(images) - 1)) % len(images)]
            yield edit(images[index], rng, other)


def square(image: Picture, size: int) -> Pixels:
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def embedded(model: Model, rows: Pixels) -> NDArray[np.float32]:
    starts = range(0, len(rows), 16)
    return np.concatenate([model.runtime.embed(rows[start : start + 16]) for start in starts])


def scores(similarity_QR: NDArray[np.float32], labels_Q: NDArray[np.int64]) -> tuple[float, float]:
    """Return µAP over all pairs, and the largest recall at a precision of 90 % or more."""
    hit = (labels_Q[:, None] == np.arange(similarity_QR.shape[1])).ravel()
    hit = hit[np.argsort(-similarity_QR.ravel(), kind="stable")]
    found = np.cumsum(hit)
    precision = found / np.arange(1, len(hit) + 1)
    sound = found[precision >= 0.9]
    return float((precision * hit).sum() / len(labels_Q)), float(sound.max(initial=0)) / len(
        labels_Q
    )


def bands(image: Picture, rng: random.Random, other: Picture) -> Picture:
    left, right, top, bottom = (rng.uniform(0, 0.5) for _ in range(4))
    width, height = image.size
    size = int(width * (1 + left + right)), int(height * (1 + top + bottom))
    any_colour = (rng.randrange(256), rng.randrange(256), rng.randrange(256))
    canvas = Image.new("RGB", size, rng.choice([(0, 0, 0), (255, 255, 255), any_colour]))
    canvas.paste(image, (int(width * left), int(height * top)))
    return canvas


def onto(image: Picture, rng: random.Random, other: Picture) -> Picture:
    side = rng.uniform(0.5, 0.7)
    small = image.resize((int(image.width * side), int(image.height * side)))
    place = rng.randint(0, image.width - small.width), rng.randint(0, image.height - small.height)
    canvas = overlays._cover(other, *image.size)
    canvas.paste(small, place)
    return canvas


def perspective(image: Picture, rng: random.Random, other: Picture) -> Picture:
    width, height = image.size
    corners = [(0, 0), (width, 0), (width, height), (0, height)]
    rows, there = [], []
    for u, v in corners:
        inwards = rng.uniform(0, 0.22) * width, rng.uniform(0, 0.22) * height
        x, y = abs(u - inwards[0]), abs(v - inwards[1])
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        there += [u, v]
    solved = np.linalg.solve(np.array(rows), np.array(there))
    how = Image.Transform.PERSPECTIVE
    return image.transform(image.size, how, tuple(solved), Image.Resampling.BICUBIC)


def stripes(image: Picture, rng: random.Random, other: Picture) -> Picture:
    pixels, count = np.array(image), rng.randint(6, 12)
    for bar in range(count):
        top, bottom = (int(len(pixels) * (bar + share) / count) for share in (0.25, 0.6))
        pixels[top:bottom] = rng.choice([0, 255])
    return Image.fromarray(pixels)


def coarse(image: Picture, rng: random.Random, other: Picture) -> Picture:
    share = rng.uniform(0.06, 0.12)
    size = max(4, int(image.width * share)), max(4, int(image.height * share))
    return image.resize(size, Image.Resampling.BOX).resize(image.size, Image.Resampling.NEAREST)


def web() -> dict[str, Apply]:
    return {
        "crop": partial(crop, area=0.45),
        "bands": bands,
        "onto": onto,
        "phone": overlays.phone,
        "perspective": perspective,
        "stripes": stripes,
        "coarse": coarse,
    }


def chain(strong: list[Edit]) -> Callable[[Picture, random.Random, Picture], Picture]:
    own = [Edit(name, "", False, apply) for name, apply in web().items() if name != "onto"]
    mild = [edit for edit in strong if edit.name not in NEVER_IN_CHAINS]
    return partial(combine, edits=[*own, *mild], count=4)


if __name__ == "__main__":
    main()
