"""Things drawn over or around a photograph, with Pillow's own font and plain shapes.

Every function takes an RGB image and the generator of all that is random, and returns a new RGB
image; those that serve as an edit's `apply` (see `edits.named`) take another photograph, too.
`glyphs` and `sticker` are as the reference draws AugLy's fonts and emoji, alike in sizes, opacities
and places (`sscd/transforms/settings.py`).
"""

from __future__ import annotations

import random
import string
from bisect import bisect_right
from functools import lru_cache
from math import ceil

from PIL import Image, ImageDraw, ImageFont

Box = tuple[float, float, float, float]  # left, top, right and bottom
Colour = tuple[int, int, int]

_GLYPHS = string.ascii_letters + string.digits + string.punctuation + "    "
_LONGEST_TEXT = 40
_STAR = (
    *((0.5, 0.0), (0.62, 0.36), (1.0, 0.38), (0.7, 0.6), (0.81, 0.98)),
    *((0.5, 0.75), (0.19, 0.98), (0.3, 0.6), (0.0, 0.38), (0.38, 0.36)),
)

_TEXT = (
    "sale only today follow us for more when you see it share if agree morning mood wait what "
    "summer best of news breaking photo by copyright 2026 live now click here my cat said no"
)
_WORDS = _TEXT.split()
_YELLOW, _INK, _PAPER, _GREY = (255, 205, 40), (40, 40, 40), (250, 250, 250), (205, 208, 212)


def glyphs(image: Image.Image, rng: random.Random) -> Image.Image:
    """Write a line of random glyphs, 10 to 30 % of the short side high, 10 to 100 % opaque.

    Of any length that fits the width, anywhere in the picture. Nothing where no glyph fits.
    """
    short = min(image.size)
    font = _font(max(round(short * rng.uniform(0.1, 0.3)), 6))
    line = "".join(rng.choices(_GLYPHS, k=_LONGEST_TEXT))
    longest = bisect_right(
        range(1, _LONGEST_TEXT + 1), image.width, key=lambda n: ceil(font.getbbox(line[:n])[2])
    )
    if longest == 0:
        return image
    line = line[: rng.randint(1, longest)]
    _, _, width, height = font.getbbox(line)
    mask = Image.new("L", image.size, 0)
    place = rng.random() * (image.width - width), rng.random() * max(image.height - height, 0)
    ImageDraw.Draw(mask).text(place, line, fill=round(255 * rng.uniform(0.1, 1)), font=font)
    return Image.composite(Image.new("RGB", image.size, any_colour(rng)), image, mask)


def sticker(image: Image.Image, rng: random.Random) -> Image.Image:
    """Put a face, a heart or a star on the image, 10 to 50 % of the short side in size."""
    side = max(round(min(image.size) * rng.uniform(0.1, 0.5)), 8)
    drawing, mask = _drawn(rng.choice(("face", "heart", "star", "disc")), side, rng)
    opacity = rng.uniform(0.7, 1)
    mask = mask.point([round(level * opacity) for level in range(256)])
    place = (
        round(rng.random() * max(image.width - side, 0)),
        round(rng.random() * max(image.height - side, 0)),
    )
    stamped = image.copy()
    stamped.paste(drawing, place, mask)
    return stamped


def any_colour(rng: random.Random) -> Colour:
    return rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255)


def border(
    image: Image.Image, rng: random.Random, other: Image.Image, *, share: float
) -> Image.Image:
    """Surround the image by a band of one colour, `share` of its short side wide."""
    band = max(1, round(share * min(image.size)))
    canvas = Image.new("RGB", (image.width + 2 * band, image.height + 2 * band), _colour(rng))
    canvas.paste(image, (band, band))
    return canvas


def text(image: Image.Image, rng: random.Random, other: Image.Image, *, lines: int) -> Image.Image:
    """Write `lines` lines of a few words across the image, outlined so that they stay legible."""
    result = image.copy()
    draw = ImageDraw.Draw(result)
    fill = _colour(rng)
    edge = (0, 0, 0) if sum(fill) > 382 else (255, 255, 255)
    for _ in range(lines):
        size = rng.uniform(0.07, 0.13) * min(image.size)
        line = _sentence(rng, rng.randint(2, 5))
        font = _font(size * min(1.0, 0.96 * image.width / max(1.0, _font(size).getlength(line))))
        at = (
            _between(rng, 0, image.width - font.getlength(line)),
            _between(rng, 0, image.height - 1.3 * font.size),
        )
        stroke = max(1, round(font.size / 14))
        draw.text(at, line, fill=fill, font=font, stroke_width=stroke, stroke_fill=edge)
    return result


def smiley(
    image: Image.Image, rng: random.Random, other: Image.Image, *, size: float, count: int
) -> Image.Image:
    """Draw `count` round faces, `size` of the short side across, each wholly inside the image."""
    result = image.copy()
    draw = ImageDraw.Draw(result)
    across = max(4.0, size * min(image.size))
    for _ in range(count):
        left = _between(rng, 0, image.width - across)
        top = _between(rng, 0, image.height - across)
        _face(draw, left, top, across, wink=rng.random() < 0.3)
    return result


def picture_in_picture(
    image: Image.Image, rng: random.Random, other: Image.Image, *, area: float
) -> Image.Image:
    """Lay the image over the `other` photograph; it covers `area` of the result.

    The other photograph is scaled and cut to the image's own shape, so the image is whole and
    undistorted; its place is random.
    """
    width, height = image.size
    canvas = _cover(other, max(1, round(width / area**0.5)), max(1, round(height / area**0.5)))
    place = (
        rng.randint(0, canvas.width - width),
        rng.randint(0, canvas.height - height),
    )
    canvas.paste(image, place)
    return canvas


def post(image: Image.Image, rng: random.Random, other: Image.Image) -> Image.Image:
    """Frame the image as a post in a feed: a name above it, buttons and a line of text below."""
    unit = max(4, image.width // 16)
    canvas = Image.new("RGB", (image.width, image.height + 4 * unit), _PAPER)
    canvas.paste(image, (0, 2 * unit))
    draw = ImageDraw.Draw(canvas)
    draw.ellipse((unit * 0.4, unit * 0.4, unit * 1.6, unit * 1.6), fill=_colour(rng))
    _write(draw, (unit * 2, unit * 0.6), _sentence(rng, 2), unit * 0.7, _INK)
    below = image.height + 2 * unit
    for button in range(3):
        left = unit * (0.5 + 1.5 * button)
        box = (left, below + unit * 0.3, left + unit * 0.8, below + unit * 1.1)
        draw.ellipse(box, outline=_INK, width=max(1, unit // 10))
    _write(draw, (unit * 0.5, below + unit * 1.2), _sentence(rng, 5), unit * 0.55, _INK)
    return canvas


def phone(image: Image.Image, rng: random.Random, other: Image.Image) -> Image.Image:
    """Show the image on a telephone's screen: 9:16 or taller, status bar above, toolbar below."""
    bar = max(4, image.width // 14)
    height = max(round(image.width * 16 / 9), image.height + 4 * bar)
    dark = rng.random() < 0.5
    paper, ink = ((0, 0, 0), _GREY) if dark else (_PAPER, _INK)
    canvas = Image.new("RGB", (image.width, height), paper)
    canvas.paste(image, (0, (height - image.height) // 2))
    draw = ImageDraw.Draw(canvas)
    clock = f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"
    _write(draw, (bar * 0.5, bar * 0.15), clock, bar * 0.55, ink)
    _battery(draw, image.width - bar * 1.5, bar, ink, rng.random())
    line = max(1, bar // 12)
    for button in range(5):
        middle = image.width * (button + 0.5) / 5
        box = (middle - bar * 0.3, height - bar * 1.3, middle + bar * 0.3, height - bar * 0.7)
        # Pillow fails at corners that are rounder than its own rounding of a tiny box leaves
        draw.rounded_rectangle(box, radius=bar * 0.1 if bar > 5 else 0, outline=ink, width=line)
    return canvas


def window(image: Image.Image, rng: random.Random, other: Image.Image) -> Image.Image:
    """Show the image in a browser's window: tabs and address above, a column of text beside it."""
    bar = max(4, image.width // 18)
    column, margin = round(image.width * 0.3), bar
    size = (image.width + column + 3 * margin, image.height + 2 * bar + 2 * margin)
    canvas = Image.new("RGB", size, _PAPER)
    canvas.paste(image, (margin, 2 * bar + margin))
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((0, 0, size[0], 2 * bar), fill=_GREY)
    for button, fill in enumerate(((236, 95, 85), (245, 190, 60), (95, 200, 90))):
        left = bar * (0.3 + 0.6 * button)
        draw.ellipse((left, bar * 0.3, left + bar * 0.4, bar * 0.7), fill=fill)
    draw.rounded_rectangle(
        (bar * 2.5, bar * 1.1, size[0] - bar * 0.5, bar * 1.9), radius=bar * 0.4, fill=_PAPER
    )
    _write(draw, (bar * 3, bar * 1.15), f"www.{rng.choice(_WORDS)}.example", bar * 0.55, _INK)
    for row in range(int((image.height + bar) / (bar * 0.9))):
        at = (image.width + 2 * margin, 2 * bar + margin + row * bar * 0.9)
        _write(draw, at, _sentence(rng, 4), bar * 0.5, _INK)
    return canvas


def _drawn(kind: str, side: int, rng: random.Random) -> tuple[Image.Image, Image.Image]:
    """Return the drawing of a sticker and its mask, both `side` × `side`."""
    colour = (rng.randint(120, 255), rng.randint(60, 255), rng.randint(0, 200))
    drawing, mask = Image.new("RGB", (side, side), colour), Image.new("L", (side, side), 0)
    outline, edge = ImageDraw.Draw(mask), side - 1
    if kind == "heart":
        outline.ellipse(_box(0, 0, edge, (0.02, 0.1, 0.52, 0.6)), fill=255)
        outline.ellipse(_box(0, 0, edge, (0.48, 0.1, 0.98, 0.6)), fill=255)
        tip = ((0.07, 0.47), (0.93, 0.47), (0.5, 0.98))
        outline.polygon([(x * edge, y * edge) for x, y in tip], fill=255)
    elif kind == "star":
        outline.polygon([(x * edge, y * edge) for x, y in _STAR], fill=255)
    else:
        outline.ellipse((0, 0, edge, edge), fill=255)
    if kind == "face":
        _features(ImageDraw.Draw(drawing), 0, 0, edge)
    return drawing, mask


def _face(draw: ImageDraw.ImageDraw, left: float, top: float, size: float, *, wink: bool) -> None:
    whole, line = _box(left, top, size, (0, 0, 1, 1)), max(1, round(size / 18) // 2)
    draw.ellipse(whole, fill=_YELLOW, outline=(150, 110, 0), width=line)
    _features(draw, left, top, size, wink=wink)


def _features(
    draw: ImageDraw.ImageDraw, left: float, top: float, size: float, *, wink: bool = False
) -> None:
    """Draw the eyes and the mouth of a face."""
    line = max(1, round(size / 18))
    draw.ellipse(_box(left, top, size, (0.25, 0.26, 0.38, 0.46)), fill=_INK)
    if wink:
        draw.line(_box(left, top, size, (0.60, 0.37, 0.77, 0.37)), fill=_INK, width=line)
    else:
        draw.ellipse(_box(left, top, size, (0.62, 0.26, 0.75, 0.46)), fill=_INK)
    draw.arc(_box(left, top, size, (0.22, 0.30, 0.78, 0.80)), 20, 160, fill=_INK, width=line)


def _box(left: float, top: float, size: float, shares: Box) -> Box:
    x0, y0, x1, y1 = shares
    return left + x0 * size, top + y0 * size, left + x1 * size, top + y1 * size


def _battery(
    draw: ImageDraw.ImageDraw, left: float, bar: float, ink: Colour, charge: float
) -> None:
    """Draw a battery from `left` on and three bars of reception before it, in the top bar."""
    top, bottom = bar * 0.3, bar * 0.7
    draw.rectangle((left, top, left + bar, bottom), outline=ink)
    draw.rectangle((left, top, left + bar * charge, bottom), fill=ink)
    for step in range(3):
        foot = left - bar * (0.9 - 0.25 * step)
        draw.rectangle((foot, bottom - bar * 0.13 * (step + 1), foot + bar * 0.15, bottom), ink)


def _cover(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return the middle of the image, scaled so that it just fills `width` x `height`."""
    scale = max(width / image.width, height / image.height)
    w, h = min(image.width, width / scale), min(image.height, height / scale)
    left, top = (image.width - w) / 2, (image.height - h) / 2
    box = (left, top, left + w, top + h)
    return image.resize((width, height), Image.Resampling.BICUBIC, box=box)


def _write(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], line: str, size: float, fill: Colour
) -> None:
    draw.text(at, line, fill=fill, font=_font(size))


@lru_cache(maxsize=64)
def _font(size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(max(4, round(size)))
    assert isinstance(font, ImageFont.FreeTypeFont)  # asking for a size always gives this one
    return font


def _sentence(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(_WORDS, k=count))


def _colour(rng: random.Random) -> Colour:
    """Return white or black half of the time, else any colour."""
    if rng.random() < 0.5:
        return rng.choice(((255, 255, 255), (0, 0, 0)))
    return any_colour(rng)


def _between(rng: random.Random, low: float, high: float) -> float:
    """Return a place in [low, high]; `low` where nothing fits."""
    return rng.uniform(low, max(low, high))
