"""Single edits of one image that may have made another: what `sscd pair --explain` tries.

What can be read off the two images is not searched for: the colour and width of a border, the
tones, where something was laid over. The edits are tried on `source` in order to get `target`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from sscd_cli.edits.named import RGBImage, named, turn_hue

Window = tuple[float, float, float, float]  # left, top, width, height, in shares of the image
Floats = NDArray[np.float32]

# as in the table of `named`, without strengths where those differ by chance
_TABLE = {
    "flip": ("left-right", "top-bottom"),
    "quarter turn": ("90°", "180°", "270°"),
    "grayscale": ("grey", "sepia"),
    "blur": ("1 % of side", "2 % of side"),
    "jpeg": ("quality 30", "quality 10"),
}
_SHOWN = {
    ("quarter turn", "90°"): ("quarter turn", "90° left"),
    ("quarter turn", "270°"): ("quarter turn", "90° right"),
    ("jpeg", "quality 30"): ("recompression", "JPEG of quality 30"),
    ("jpeg", "quality 10"): ("recompression", "JPEG of quality 10"),
}
_HUES = (-120, -90, -60, -30, 30, 60, 90, 120, 180)  # degrees
_CROP_SIDES = (1.0, 0.85, 0.7, 0.55, 0.4)  # of the largest box of the wanted shape
_CROP_STEP = 0.25  # between two boxes, in shares of the box

_ALIKE, _BAND = 24, 0.012  # grey levels within a border; the narrowest one, share of the side
_GRID = 96  # pixels across, to find overlays
_DIFFERENT, _SAME = 40, 5  # grey levels: of what was laid over, and on average elsewhere
_OVERLAY = (0.002, 0.35)  # of the area


@dataclass(frozen=True, eq=False)
class Candidate:
    """An edit and what it makes. detail: its strength, for people. box: of what is cut out."""

    edit: str
    detail: str
    image: RGBImage
    box: Window | None = None


def edits_of(source: RGBImage, target: RGBImage) -> Iterator[Candidate]:
    """Yield every single edit but crops, at the strengths that `target` suggests."""
    rng = random.Random(0)
    for name, strengths in _TABLE.items():
        for strength in strengths:
            made = named(name, strength).apply(source, rng, target)
            yield Candidate(*_SHOWN.get((name, strength), (name, strength)), made)
    for degrees in _HUES:
        yield Candidate("colour shift", f"hue {degrees:+d}°", turn_hue(source, degrees / 360))
    yield Candidate("colour shift", "tones", _match_tones(source, target))
    yield Candidate("colour shift", "saturation", _match_saturation(source, target))
    yield from _bordered(source, target)
    yield from _overlaid(source, target)


def coarse_boxes(source: RGBImage, target: RGBImage, smallest: float) -> list[Window]:
    """Return boxes of the target's shape all over the source, the smallest `smallest` wide."""
    shape = (target.width / target.height) / (source.width / source.height)
    width, height = min(1.0, shape), min(1.0, 1 / shape)
    boxes = []
    for side in _CROP_SIDES:
        if side < smallest:
            continue
        w, h = side * width, side * height
        boxes += [(x, y, w, h) for x in _places(w) for y in _places(h)]
    return [box for box in boxes if min(box[2:]) < 0.99]


def finer_boxes(box: Window, step: float) -> list[Window]:
    """Return the boxes around one, shifted and scaled by `step` of its sides."""
    x, y, w, h = box
    boxes = []
    for grow in (-step, 0.0, step):
        wide, high = min(1.0, w * (1 + grow)), min(1.0, h * (1 + grow))
        for across in (-step, 0.0, step):
            for down in (-step, 0.0, step):
                left, top = x + (w - wide) / 2 + across * w, y + (h - high) / 2 + down * h
                boxes.append(
                    (min(max(left, 0.0), 1 - wide), min(max(top, 0.0), 1 - high), wide, high)
                )
    return [found for found in dict.fromkeys(boxes) if found != box and min(found[2:]) < 0.995]


def crop(source: RGBImage, box: Window) -> Candidate:
    """Cut a box out."""
    left, top, width, height = pixels_of(box, source.size)
    return Candidate("crop", "", source.crop((left, top, left + width, top + height)), box)


def pixels_of(box: Window, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, width and height of a box in an image of `size`, in pixels."""
    x, y, w, h = box
    width, height = size
    left, top = round(x * width), round(y * height)
    return left, top, max(1, round((x + w) * width) - left), max(1, round((y + h) * height) - top)


def shrink(image: RGBImage, side: int) -> RGBImage:
    """Return the image with its short side at most `side` pixels."""
    factor = side / min(image.size)
    if factor >= 1:
        return image
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BOX)


def _places(share: float) -> list[float]:
    room = 1 - share
    count = int(np.ceil(room / (_CROP_STEP * share) - 1e-9)) + 1 if room > 1e-9 else 1
    return [float(place) for place in np.linspace(0, room, count)]


def _match_tones(source: RGBImage, target: RGBImage) -> RGBImage:
    """Give each channel the mean and deviation that it has in the target."""
    ours, theirs = (np.asarray(image, np.float32).reshape(-1, 3) for image in (source, target))
    gain = theirs.std(axis=0) / np.maximum(ours.std(axis=0), 1.0)
    return _image((np.asarray(source, np.float32) - ours.mean(axis=0)) * gain + theirs.mean(axis=0))


def _match_saturation(source: RGBImage, target: RGBImage) -> RGBImage:
    """Give colours the mean distance from grey that they have in the target."""
    pixels = np.asarray(source, np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    theirs = np.asarray(target, np.float32)
    distance = np.abs(theirs - theirs.mean(axis=2, keepdims=True)).mean()
    return _image(grey + (pixels - grey) * distance / max(np.abs(pixels - grey).mean(), 1.0))


def _bordered(source: RGBImage, target: RGBImage) -> Iterator[Candidate]:
    """Yield the source with the border that the target has, if it has one."""
    pixels = np.asarray(target, np.float32)
    height, width = pixels.shape[:2]
    top, bottom, left, right = (
        _band(lines)
        for lines in (pixels, pixels[::-1], pixels.swapaxes(0, 1), pixels.swapaxes(0, 1)[::-1])
    )
    bands = (left / width, top / height, right / width, bottom / height)
    if sum(band >= _BAND for band in bands) < 2 or left + right >= width or top + bottom >= height:
        return
    colour = tuple(round(float(value)) for value in np.median(pixels[0], axis=0))
    canvas = Image.new("RGB", target.size, colour)
    inner = source.resize((width - left - right, height - top - bottom), Image.Resampling.BICUBIC)
    canvas.paste(inner, (left, top))
    yield Candidate("border", f"#{''.join(f'{v:02x}' for v in colour)}", canvas)


def _band(lines: Floats) -> int:
    """Return how many lines from the first on are of one colour, which is the first line's."""
    colour = np.median(lines[0], axis=0)
    off = np.abs(lines - colour).max(axis=2)
    plain = np.quantile(off, 0.95, axis=1) < _ALIKE
    return int(len(plain) if plain.all() else plain.argmin())


def _overlaid(source: RGBImage, target: RGBImage) -> Iterator[Candidate]:
    """Yield the source with the small part of the target that differs laid over it."""
    ours, theirs = (
        np.asarray(image.resize((_GRID, _GRID), Image.Resampling.BOX), np.float32)
        for image in (source, target)
    )
    difference = np.abs(ours - theirs).max(axis=2)
    mask = Image.fromarray(np.uint8(255 * (difference > _DIFFERENT)))
    mask = mask.filter(ImageFilter.MaxFilter(5))
    over = np.asarray(mask) > 0
    if not _OVERLAY[0] < over.mean() < _OVERLAY[1] or difference[~over].mean() > _SAME:
        return
    top = target.resize(source.size, Image.Resampling.BICUBIC)
    made = Image.composite(top, source, mask.resize(source.size))
    rows, columns = np.flatnonzero(over.any(axis=1)), np.flatnonzero(over.any(axis=0))
    box = (columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0])
    share = (difference > _DIFFERENT).mean()
    x, y, w, h = (float(value) / _GRID for value in box)
    yield Candidate("overlay", f"{share:.0%} of area", made, (x, y, w, h))


def _image(pixels: Floats) -> RGBImage:
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))
