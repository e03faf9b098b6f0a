"""Draw the test gallery: original pictures, edited copies of some, and two files that are no image.

    python tests/tools/draw_gallery.py [FOLDER]

Every picture comes from a seed made of its own name, so that each run writes the same pixels and
a scene that is added or removed changes no other. FOLDER (default: tests/data/gallery)
is made if need be and files of the same names are replaced. FOLDER_truth.csv, next to it, lists
for each edited copy the picture that it was made from.
"""

from __future__ import annotations

import csv
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import gallery_flat
import gallery_made
import gallery_nature
import numpy as np
from gallery_paint import develop
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Edit = Callable[[Image.Image], Image.Image]

SCENES = gallery_nature.SCENES + gallery_made.SCENES + gallery_flat.SCENES
QUALITY = 85
TORN = "birches.jpg"
NOTES = "Drawn by tests/tools/draw_gallery.py. This file is no image.\n"


def crop(image: Image.Image) -> Image.Image:
    """Keep 80 % of the width and of the height, off the centre."""
    left, top = image.width * 12 // 100, image.height * 5 // 100
    return image.crop((left, top, left + image.width * 4 // 5, top + image.height * 4 // 5))


def half(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)


def caption(image: Image.Image) -> Image.Image:
    """Write two lines of white text with a dark outline."""
    font = ImageFont.load_default(image.height // 9)
    middle = image.width // 2
    draw = ImageDraw.Draw(image)
    for words, share in (("WISH YOU WERE HERE", 0.12), ("see you on Monday", 0.88)):
        at = (middle, int(share * image.height))
        draw.text(at, words, "white", font, "mm", stroke_width=3, stroke_fill="black")
    return image


def frame(image: Image.Image) -> Image.Image:
    return ImageOps.expand(image, border=image.width // 10, fill="#f4f0e6")


def gray(image: Image.Image) -> Image.Image:
    return image.convert("L")


def blur(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(2.5))


def brighten(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.4)


def rotate(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.ROTATE_90)


def keep(image: Image.Image) -> Image.Image:
    return image


# (copy, original, edit, JPEG quality)
EDITED: tuple[tuple[str, str, Edit, int], ...] = (
    ("alps-brighter.jpg", "alps.jpg", brighten, QUALITY),
    ("balloons-rotated.jpg", "balloons.jpg", rotate, QUALITY),
    ("canyon-flipped.jpg", "canyon.jpg", ImageOps.mirror, QUALITY),
    ("canyon-gray.jpg", "canyon.jpg", gray, QUALITY),
    ("harbour-cropped.jpg", "harbour.jpg", crop, QUALITY),
    ("harbour-half.jpg", "harbour.jpg", half, QUALITY),
    ("harbour-low-quality.jpg", "harbour.jpg", keep, 15),
    ("planet.png", "planet.jpg", keep, QUALITY),
    ("reef-blurred.jpg", "reef.jpg", blur, QUALITY),
    ("skyline-captioned.jpg", "skyline.jpg", caption, QUALITY),
    ("vase-framed.jpg", "vase.jpg", frame, QUALITY),
)
SAME_BYTES = ("marbles-again.jpg", "marbles.jpg")


def draw_originals(folder: Path) -> None:
    for scene in SCENES:
        rng = np.random.default_rng(zlib.crc32(scene.__name__.encode()))
        name = scene.__name__.replace("_", "-")
        develop(scene(rng), rng).save(folder / f"{name}.jpg", quality=QUALITY)


def draw_copies(folder: Path) -> None:
    """Edit what the originals' files show, as someone who found them would."""
    for copy, original, edit, quality in EDITED:
        with Image.open(folder / original) as image:
            edit(image.convert("RGB")).save(folder / copy, quality=quality)
    copy, original = SAME_BYTES
    (folder / copy).write_bytes((folder / original).read_bytes())


def write_others(folder: Path) -> None:
    """Write a JPEG that ends too early, and a text file."""
    whole = (folder / TORN).read_bytes()
    (folder / "torn.jpg").write_bytes(whole[: len(whole) * 3 // 5])
    (folder / "notes.txt").write_text(NOTES, encoding="utf-8")


def write_truth(path: Path) -> None:
    rows = sorted([(copy, original) for copy, original, *_ in EDITED] + [SAME_BYTES])
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("image", "original"), *rows])


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    draw_originals(folder)
    draw_copies(folder)
    write_others(folder)
    write_truth(folder.with_name(f"{folder.name}_truth.csv"))


if __name__ == "__main__":
    default = Path(__file__).parents[1] / "data" / "gallery"
    main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else default)
