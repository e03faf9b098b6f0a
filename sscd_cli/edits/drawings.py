"""Text and emoji-like drawings on an image, with Pillow's own font and shapes.

The reference draws random glyphs of AugLy's fonts and AugLy's emoji; sizes, opacities and places
are drawn alike (`sscd/transforms/settings.py`).
"""

from __future__ import annotations

import string
from bisect import bisect_right
from functools import lru_cache
from math import ceil
from random import Random

from PIL import Image, ImageDraw, ImageFont

_GLYPHS = string.ascii_letters + string.digits + string.punctuation + "    "
_LONGEST_TEXT = 40


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def draw_text(image: Image.Image, rng: Random) -> Image.Image:
    """Write a line of random glyphs, 10 to 30 % of the short side high, 10 to 100 % opaque.

    Of any length that fits the width, anywhere in the picture. Nothing where no glyph fits.
    """
    short = min(image.size)
    font = _font(max(round(short * rng.uniform(0.1, 0.3)), 6))
    text = "".join(rng.choices(_GLYPHS, k=_LONGEST_TEXT))
    longest = bisect_right(
        range(1, _LONGEST_TEXT + 1), image.width, key=lambda n: ceil(font.getbbox(text[:n])[2])
    )
    if longest == 0:
        return image
    text = text[: rng.randint(1, longest)]
    _, _, width, height = font.getbbox(text)
    mask = Image.new("L", image.size, 0)
    place = rng.random() * (image.width - width), rng.random() * max(image.height - height, 0)
    ImageDraw.Draw(mask).text(place, text, fill=_opacity(rng, 0.1), font=font)
    return _stamp(image, mask, (rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255)))


def draw_emoji(image: Image.Image, rng: Random) -> Image.Image:
    """Put a face, a heart or a star on the image, 10 to 50 % of the short side in size."""
    side = max(round(min(image.size) * rng.uniform(0.1, 0.5)), 8)
    sticker, mask = _sticker(rng.choice(("face", "heart", "star", "disc")), side, rng)
    opacity = rng.uniform(0.7, 1)
    mask = mask.point([round(level * opacity) for level in range(256)])
    place = (
        round(rng.random() * max(image.width - side, 0)),
        round(rng.random() * max(image.height - side, 0)),
    )
    stamped = image.copy()
    stamped.paste(sticker, place, mask)
    return stamped


def _opacity(rng: Random, least: float) -> int:
    return round(255 * rng.uniform(least, 1))


def _stamp(image: Image.Image, mask: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    return Image.composite(Image.new("RGB", image.size, colour), image, mask)


def _sticker(kind: str, side: int, rng: Random) -> tuple[Image.Image, Image.Image]:
    """Return the drawing and its mask, both `side` × `side`."""
    colour = (rng.randint(120, 255), rng.randint(60, 255), rng.randint(0, 200))
    picture, mask = Image.new("RGB", (side, side), colour), Image.new("L", (side, side), 0)
    outline, ink = ImageDraw.Draw(mask), ImageDraw.Draw(picture)
    if kind == "heart":
        outline.ellipse(_box(side, 0.02, 0.1, 0.52, 0.6), fill=255)
        outline.ellipse(_box(side, 0.48, 0.1, 0.98, 0.6), fill=255)
        outline.polygon(_points(side, (0.07, 0.47), (0.93, 0.47), (0.5, 0.98)), fill=255)
    elif kind == "star":
        tips = [
            (0.5, 0.0),
            (0.62, 0.36),
            (1.0, 0.38),
            (0.7, 0.6),
            (0.81, 0.98),
            (0.5, 0.75),
            (0.19, 0.98),
            (0.3, 0.6),
            (0.0, 0.38),
            (0.38, 0.36),
        ]
        outline.polygon(_points(side, *tips), fill=255)
    else:
        outline.ellipse(_box(side, 0, 0, 1, 1), fill=255)
    if kind == "face":
        ink.ellipse(_box(side, 0.25, 0.28, 0.38, 0.45), fill=(40, 20, 10))
        ink.ellipse(_box(side, 0.62, 0.28, 0.75, 0.45), fill=(40, 20, 10))
        ink.arc(_box(side, 0.22, 0.3, 0.78, 0.8), 20, 160, fill=(40, 20, 10), width=side // 16 + 1)
    return picture, mask


def _box(
    side: int, left: float, top: float, right: float, bottom: float
) -> tuple[float, float, float, float]:
    edge = side - 1
    return left * edge, top * edge, right * edge, bottom * edge


def _points(side: int, *points: tuple[float, float]) -> list[tuple[float, float]]:
    return [(x * (side - 1), y * (side - 1)) for x, y in points]
