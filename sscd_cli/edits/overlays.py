"""Things drawn over or around a photograph, with Pillow's own font and plain shapes.

Every function has the shape of an edit's `apply` (see `edits.named`): an RGB image, the
generator of all that is random, another photograph; it returns a new RGB image.
"""

from __future__ import annotations

import random

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

_TEXT = (
    "sale only today follow us for more when you see it share if agree morning mood wait what "
    "summer best of news breaking photo by copyright 2026 live now click here my cat said no"
)
_WORDS = _TEXT.split()
_YELLOW, _INK, _PAPER, _GREY = (255, 205, 40), (40, 40, 40), (250, 250, 250), (205, 208, 212)


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
        words = _sentence(rng, rng.randint(2, 5))
        font = _font(size * min(1.0, 0.96 * image.width / max(1.0, _font(size).getlength(words))))
        at = (
            _between(rng, 0, image.width - font.getlength(words)),
            _between(rng, 0, image.height - 1.3 * font.size),
        )
        stroke = max(1, round(font.size / 14))
        draw.text(at, words, fill=fill, font=font, stroke_width=stroke, stroke_fill=edge)
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


def _face(draw: ImageDraw.ImageDraw, left: float, top: float, size: float, *, wink: bool) -> None:
    def box(x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        return (left + x0 * size, top + y0 * size, left + x1 * size, top + y1 * size)

    line = max(1, round(size / 18))
    draw.ellipse(box(0, 0, 1, 1), fill=_YELLOW, outline=(150, 110, 0), width=max(1, line // 2))
    draw.ellipse(box(0.25, 0.26, 0.38, 0.46), fill=_INK)
    if wink:
        draw.line(box(0.60, 0.37, 0.77, 0.37), fill=_INK, width=line)
    else:
        draw.ellipse(box(0.62, 0.26, 0.75, 0.46), fill=_INK)
    draw.arc(box(0.22, 0.30, 0.78, 0.80), 20, 160, fill=_INK, width=line)


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
    draw: ImageDraw.ImageDraw, at: tuple[float, float], words: str, size: float, fill: Colour
) -> None:
    draw.text(at, words, fill=fill, font=_font(size))


def _font(size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(max(4, round(size)))
    assert isinstance(font, ImageFont.FreeTypeFont)  # asking for a size always gives this one
    return font


def _sentence(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(_WORDS, k=words))


def _colour(rng: random.Random) -> Colour:
    """Return white or black half of the time, else any colour."""
    if rng.random() < 0.5:
        return rng.choice(((255, 255, 255), (0, 0, 0)))
    return (rng.randrange(256), rng.randrange(256), rng.randrange(256))


def _between(rng: random.Random, low: float, high: float) -> float:
    """Return a place in [low, high]; `low` where nothing fits."""
    return rng.uniform(low, max(low, high))
