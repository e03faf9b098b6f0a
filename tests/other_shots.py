"""Pairs of pictures that are much alike and no copies, drawn: for the second look at a pair.

Each drawer takes a number and returns two RGB pictures of one kind; the same number draws the
same pair.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Pair = tuple[Image.Image, Image.Image]

_LETTERS = "abcdefghijklmnoprstu"
_LABELS = ("Name", "Street", "City", "Country", "Date", "Phone", "Account", "Amount", "Status")


@cache
def pages(number: int) -> Pair:
    """Two pages of text of one lay-out: a book, double-spaced typescript, or two columns."""
    layout = random.Random(number)
    size, columns = layout.choice((16, 18, 22)), layout.choice((1, 1, 2))
    leading = round(size * layout.uniform(1.3, 1.9))

    def page(rng: random.Random) -> Image.Image:
        image, font = Image.new("RGB", (850, 1100), "white"), _font(size)
        draw = ImageDraw.Draw(image)
        wide = (850 - 120 - 30 * (columns - 1)) // columns
        for column in range(columns):
            for y in range(60, 1040, leading):
                if rng.random() < 0.06:
                    continue
                line = _line(rng, font, wide * (0.55 if rng.random() < 0.1 else 1.0))
                draw.text((60 + column * (wide + 30), y), line, font=font, fill="black")
        return image

    return _two(number, page)


@cache
def forms(number: int) -> Pair:
    """One printed form, filled in twice."""
    layout = random.Random(number)
    rows = [(layout.choice(_LABELS), layout.choice((1, 2, 2))) for _ in range(11)]

    def form(rng: random.Random) -> Image.Image:
        image = Image.new("RGB", (850, 1100), "white")
        draw = ImageDraw.Draw(image)
        draw.text((60, 40), "Application for " + rows[0][0], font=_font(34), fill="black")
        for row, (label, boxes) in enumerate(rows):
            for box in range(boxes):
                left, top, wide = 60 + box * 375, 120 + row * 84, 730 // boxes - 20
                draw.text((left, top), label, font=_font(14), fill="black")
                draw.rectangle((left, top + 18, left + wide, top + 66), outline="black", width=2)
                if rng.random() < 0.85:
                    ink = (20, 30, 120)
                    words = _line(rng, _font(26), wide * rng.uniform(0.4, 0.9))
                    draw.text((left + 12, top + 24), words, font=_font(26), fill=ink)
        return image

    return _two(number, form)


@cache
def codes(number: int) -> Pair:
    """Two square codes as labels carry them, with the same corners."""
    cells = random.Random(number).choice((21, 25, 29, 33))

    def code(rng: random.Random) -> Image.Image:
        grid = np.array([[rng.random() < 0.5 for _ in range(cells)] for _ in range(cells)])
        mark = np.zeros((8, 8), np.bool_)
        mark[:7, :7] = True
        mark[1:6, 1:6] = False
        mark[2:5, 2:5] = True
        grid[:8, :8], grid[:8, -8:], grid[-8:, :8] = mark, mark[:, ::-1], mark[::-1]
        black = np.kron(np.pad(grid, 4), np.ones((12, 12), np.bool_))
        return Image.fromarray(np.where(black, 0, 255).astype(np.uint8)).convert("RGB")

    return _two(number, code)


@cache
def screens(number: int) -> Pair:
    """Two screens of one app: a list of messages below the same bars."""
    layout = random.Random(number)
    hue = tuple(layout.randrange(30, 220) for _ in range(3))
    high = layout.choice((90, 110, 140))

    def screen(rng: random.Random) -> Image.Image:
        image = Image.new("RGB", (540, 1100), (250, 250, 250))
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, 0, 540, 110), fill=hue)
        draw.text((24, 50), "Messages", font=_font(34), fill="white")
        draw.rectangle((0, 1020, 540, 1100), fill=(235, 235, 240))
        for tab in range(4):
            draw.ellipse((50 + tab * 130, 1040, 90 + tab * 130, 1080), fill=hue)
        for top in range(120, 1020 - high, high):
            colour = tuple(rng.randrange(60, 240) for _ in range(3))
            draw.ellipse((20, top + 12, 84, top + 76), fill=colour)
            draw.text((104, top + 12), _line(rng, _font(24), 250), font=_font(24), fill="black")
            draw.text((104, top + 46), _line(rng, _font(18), 380), font=_font(18), fill="grey")
            draw.line((104, top + high - 2, 540, top + high - 2), fill=(220, 220, 220))
        return image

    return _two(number, screen)


@cache
def logos(number: int) -> Pair:
    """Two drawings of a few strokes on white."""

    def logo(rng: random.Random) -> Image.Image:
        image = Image.new("RGB", (256, 256), "white")
        draw = ImageDraw.Draw(image)
        for _ in range(8):
            bends = [rng.randrange(256) for _ in range(6)]
            draw.line(bends, fill="black", width=rng.randrange(4, 16))
        return image

    return _two(number, logo)


def products(number: int, photo: Image.Image | None = None) -> Pair:
    """A labelled can or box on white, turned by 25° to 90° between the two pictures."""
    rng = random.Random(number)
    label = np.asarray(_label(rng, photo))
    first, turn = rng.uniform(0, 360), rng.choice((-1, 1)) * rng.uniform(25, 90)
    draw = _can if rng.random() < 0.5 else _box
    return draw(label, first), draw(label, first + turn)


def bursts(number: int, photo: Image.Image) -> Pair:
    """A photograph, and the next of a burst: its subject moved, or it has depth."""
    rng = np.random.default_rng(number)
    pixels = np.asarray(photo, np.float32)
    height, width = pixels.shape[:2]
    short = min(height, width)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    dx, dy = np.zeros_like(x), np.zeros_like(y)
    if number % 2:  # depth: what is near shifts more than what is far
        depth = _smooth(rng, height, width)
        angle = rng.uniform(0, 2 * np.pi)
        far = rng.uniform(0.03, 0.07) * short
        dx, dy = depth * far * np.cos(angle), depth * far * np.sin(angle)
    else:  # subjects that move
        for _ in range(rng.integers(1, 4)):
            centre = rng.uniform(0.25, 0.75, 2) * (width, height)
            size = rng.uniform(0.12, 0.25) * short
            far = np.exp(-((((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * size**2)) ** 2))
            angle, step = rng.uniform(0, 2 * np.pi), rng.uniform(0.025, 0.06) * short
            dx += far * step * np.cos(angle)
            dy += far * step * np.sin(angle)
    tilt, zoom = np.deg2rad(rng.normal(0, 0.7)), 1 + rng.normal(0, 0.01)
    across, down = x - width / 2, y - height / 2
    x2 = width / 2 + zoom * (np.cos(tilt) * across - np.sin(tilt) * down) + dx
    y2 = height / 2 + zoom * (np.sin(tilt) * across + np.cos(tilt) * down) + dy
    x2, y2 = x2 + rng.normal(0, 0.01) * short, y2 + rng.normal(0, 0.01) * short
    moved = _sampled(pixels, x2, y2)
    moved = moved * rng.uniform(0.92, 1.08) + rng.normal(0, 3, moved.shape)
    inset = round(0.08 * short)
    box = (inset, inset, width - inset, height - inset)
    after = Image.fromarray(moved.round().clip(0, 255).astype(np.uint8))
    return photo.crop(box), _written(after.crop(box))


def _two(number: int, draw: Callable[[random.Random], Image.Image]) -> Pair:
    return draw(random.Random(f"{number} a")), draw(random.Random(f"{number} b"))


def _font(size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _line(rng: random.Random, font: ImageFont.FreeTypeFont, width: float) -> str:
    words = ""
    while font.getlength(words) < width:
        words += "".join(rng.choices(_LETTERS, k=rng.randrange(2, 10))) + " "
    return words.rsplit(" ", 2)[0]


def _label(rng: random.Random, photo: Image.Image | None) -> Image.Image:
    """All around a product: a ground, bands, words, and a picture."""
    ground = tuple(rng.randrange(30, 240) for _ in range(3))
    image = Image.new("RGB", (1600, 500), ground)
    draw = ImageDraw.Draw(image)
    for _ in range(3):
        top, colour = rng.randrange(460), tuple(rng.randrange(256) for _ in range(3))
        draw.rectangle((0, top, 1600, top + rng.randrange(10, 70)), fill=colour)
    for left in range(0, 1600, 400):
        words, size = _line(rng, _font(40), 300), rng.randrange(30, 70)
        draw.text((left + rng.randrange(60), rng.randrange(400)), words, font=_font(size))
        x, y, r = left + rng.randrange(300), rng.randrange(100, 400), rng.randrange(30, 90)
        draw.ellipse((x, y, x + r, y + r), fill=tuple(rng.randrange(256) for _ in range(3)))
    if photo:
        image.paste(photo.resize((360, 300)), (rng.randrange(1200), 100))
    return image


def _can(label: np.ndarray, degrees: float) -> Image.Image:
    across = np.linspace(-0.999, 0.999, 300)
    at = (np.degrees(np.arcsin(across)) + degrees) % 360 / 360 * label.shape[1]
    light = (0.5 + 0.5 * np.sqrt(1 - across**2))[None, :, None]
    return _on_white(label[:, at.astype(int) % label.shape[1]] * light)


def _box(label: np.ndarray, degrees: float) -> Image.Image:
    """A box with four sides, seen level: two of them show."""
    turn = np.deg2rad(degrees % 90)
    first, second = round(280 * np.cos(turn)), round(280 * np.sin(turn))
    side, quarter = int(degrees % 360 // 90), label.shape[1] // 4
    shown = []
    for wide, number, light in ((first, side, 1.0), (second, side + 1, 0.75)):
        face = label[:, number % 4 * quarter : (number % 4 + 1) * quarter]
        columns = np.linspace(0, quarter - 1, max(1, wide)).astype(int)
        shown.append(face[:, columns] * light)
    return _on_white(np.concatenate(shown, axis=1))


def _on_white(pixels: np.ndarray) -> Image.Image:
    image = Image.new("RGB", (640, 640), "white")
    thing = Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))
    image.paste(thing, ((640 - thing.width) // 2, (640 - thing.height) // 2))
    return image


def _smooth(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A few hills from 0 to 1, as near and far places of a scene."""
    grid = Image.fromarray(rng.normal(size=(4, 4)).astype(np.float32))
    hills = np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC))
    return np.asarray((hills - hills.min()) / np.ptp(hills) * 2 - 1)


def _sampled(pixels: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Read between the pixels, linearly."""
    height, width = pixels.shape[:2]
    x, y = x.clip(0, width - 1.001), y.clip(0, height - 1.001)
    left, top = x.astype(int), y.astype(int)
    right, down = (x - left)[..., None], (y - top)[..., None]
    upper = pixels[top, left] * (1 - right) + pixels[top, left + 1] * right
    lower = pixels[top + 1, left] * (1 - right) + pixels[top + 1, left + 1] * right
    return np.asarray(upper * (1 - down) + lower * down)


def _written(image: Image.Image) -> Image.Image:
    """As a camera writes it."""
    stream = io.BytesIO()
    image.filter(ImageFilter.GaussianBlur(0.3)).save(stream, "JPEG", quality=90)
    return Image.open(stream).convert("RGB")
