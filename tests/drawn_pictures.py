"""Small pictures to train on in tests: shapes over gradients and textures, by number."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from sscd_cli.images.refs import ImageRef


def draw_picture(number: int, width: int = 64, height: int = 56) -> Image.Image:
    """The same number is the same picture; different ones differ in colours, shapes, texture."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (rng.integers(2, 5), rng.integers(2, 5), 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    ink, draw = ImageDraw.Draw(image), Random(number)
    for _ in range(draw.randint(3, 6)):
        x, y = draw.randrange(width), draw.randrange(height)
        reach = draw.randint(width // 8, width // 3)
        colour = tuple(draw.randrange(256) for _ in range(3))
        shape = draw.choice((ink.ellipse, ink.rectangle))
        shape((x, y, x + reach, y + draw.randint(height // 8, height // 3)), fill=colour)
    return image


def save_pictures(folder: Path, count: int, first: int = 0) -> list[ImageRef]:
    """Write numbered PNG files and return where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    refs = []
    for number in range(first, first + count):
        name = f"{number:03}.png"
        draw_picture(number).save(folder / name)
        refs.append(ImageRef(name, str(folder), str(folder / name)))
    return refs
