"""The named edits by which `sscd eval self` makes copies of photographs.

What an edit does depends on the image and on the generator that it is given and on nothing
else: the same seed makes the same copy, whatever was made before.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from sscd_cli.edits import overlays

RGBImage = Image.Image
Apply = Callable[[RGBImage, random.Random, RGBImage], RGBImage]
Enhancement = Callable[[RGBImage], ImageEnhance._Enhance]

_LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}  # that the format can hold


@dataclass(frozen=True)
class Edit:
    """One edit at one strength.

    `apply(image, rng, other)` takes an RGB image of any size, the generator of all that is
    random and another RGB photograph, changes none of them, and returns a new RGB image.
    mild: an edit whose copies a good detector hardly ever misses: re-encoding, resizing, the
    crop to 90 %, blur and colour. borrows: the copy may show the other photograph too, so that
    finding that one is no mistake.
    """

    name: str
    strength: str
    mild: bool
    apply: Apply
    borrows: bool = False


def crop(image: RGBImage, rng: random.Random, other: RGBImage, *, area: float) -> RGBImage:
    """Cut a window of the image's own shape holding `area` of its pixels, at a random place."""
    width, height = _scaled(image, area**0.5)
    left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def turn(image: RGBImage, rng: random.Random, other: RGBImage, *, how: Image.Transpose) -> RGBImage:
    """Flip the image or turn it by quarters, without loss."""
    return image.transpose(how)


def rotate(image: RGBImage, rng: random.Random, other: RGBImage, *, degrees: float) -> RGBImage:
    """Turn the image either way, keep all of it, and fill the corners with black or white."""
    angle, fill = rng.choice((-degrees, degrees)), rng.choice(((0, 0, 0), (255, 255, 255)))
    return image.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=fill)


def enhance(
    image: RGBImage, rng: random.Random, other: RGBImage, *, what: Enhancement, factor: float
) -> RGBImage:
    """Multiply by `factor` every value, its distance from the mean grey, or from its own grey."""
    return what(image).enhance(factor)


def hue(image: RGBImage, rng: random.Random, other: RGBImage, *, degrees: float) -> RGBImage:
    """Turn every colour around the wheel, either way."""
    return turn_hue(image, rng.choice((-degrees, degrees)) / 360)


def gains(
    image: RGBImage, rng: random.Random, other: RGBImage, *, factors: tuple[float, float, float]
) -> RGBImage:
    """Multiply red, green and blue each by its own factor."""
    return image.point([min(255, round(value * f)) for f in factors for value in range(256)])


def grey(image: RGBImage, rng: random.Random, other: RGBImage) -> RGBImage:
    """Take all colour away."""
    return image.convert("L").convert("RGB")


def sepia(image: RGBImage, rng: random.Random, other: RGBImage) -> RGBImage:
    """Take all colour away and tint what is left brown."""
    return ImageOps.colorize(image.convert("L"), "#180c04", "#fff3d6", mid="#a88660")


def blur(image: RGBImage, rng: random.Random, other: RGBImage, *, share: float) -> RGBImage:
    """Blur by a Gaussian whose standard deviation is `share` of the image's short side."""
    return image.filter(ImageFilter.GaussianBlur(share * min(image.size)))


def noise(image: RGBImage, rng: random.Random, other: RGBImage, *, deviation: float) -> RGBImage:
    """Add independent Gaussian noise to every value; `deviation` in grey levels of 255."""
    shape = (image.height, image.width, 3)
    grain = np.random.default_rng(rng.getrandbits(64)).standard_normal(shape, dtype=np.float32)
    noisy = np.asarray(image, dtype=np.float32) + deviation * grain
    return Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8))


def resize(
    image: RGBImage, rng: random.Random, other: RGBImage, *, across: float, down: float
) -> RGBImage:
    """Scale the width by `across` and the height by `down`."""
    size = (max(1, round(across * image.width)), max(1, round(down * image.height)))
    return image.resize(size, Image.Resampling.LANCZOS)


def encode(
    image: RGBImage, rng: random.Random, other: RGBImage, *, format: str, quality: int
) -> RGBImage:
    """Write the image in a lossy format and read it again; shrunk if the format is too small."""
    stream = io.BytesIO()
    longest = _LONGEST_SIDE[format]
    if max(image.size) > longest:
        image = image.copy()
        image.thumbnail((longest, longest))
    image.save(stream, format, quality=quality)
    with Image.open(stream) as read:
        return read.convert("RGB")


def combine(
    image: RGBImage, rng: random.Random, other: RGBImage, *, edits: Sequence[Edit], count: int = 3
) -> RGBImage:
    """Apply `count` edits of different names drawn from `edits`, in the order of the table.

    That order (geometry, colour, overlays, frames, encoding) is the one in which copies are
    made, and never cuts the copy out of a picture into which it was set.
    """
    names = list(dict.fromkeys(edit.name for edit in edits))
    chosen = set(rng.sample(names, count))
    for name in names:
        if name in chosen:
            edit = rng.choice([edit for edit in edits if edit.name == name])
            image = edit.apply(image, rng, other)
    return image


def turn_hue(image: RGBImage, share: float) -> RGBImage:
    """Turn every colour by a share of the wheel."""
    steps, same = round(share * 256), list(range(256))
    turned = [(value + steps) % 256 for value in same]
    return image.convert("HSV").point(turned + same + same).convert("RGB")


def _scaled(image: RGBImage, factor: float) -> tuple[int, int]:
    return max(1, round(factor * image.width)), max(1, round(factor * image.height))


_Flip = Image.Transpose
_brighten, _contrast, _saturate = (
    partial(enhance, what=what)
    for what in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
)
_inset = overlays.picture_in_picture

_SINGLE: tuple[Edit, ...] = (
    Edit("crop", "90 % of area", True, partial(crop, area=0.9)),
    Edit("crop", "70 % of area", False, partial(crop, area=0.7)),
    Edit("crop", "50 % of area", False, partial(crop, area=0.5)),
    Edit("flip", "left-right", False, partial(turn, how=_Flip.FLIP_LEFT_RIGHT)),
    Edit("flip", "top-bottom", False, partial(turn, how=_Flip.FLIP_TOP_BOTTOM)),
    Edit("quarter turn", "90°", False, partial(turn, how=_Flip.ROTATE_90)),
    Edit("quarter turn", "180°", False, partial(turn, how=_Flip.ROTATE_180)),
    Edit("quarter turn", "270°", False, partial(turn, how=_Flip.ROTATE_270)),
    Edit("rotation", "5°", False, partial(rotate, degrees=5)),
    Edit("rotation", "15°", False, partial(rotate, degrees=15)),
    Edit("brightness", "factor 0.6", True, partial(_brighten, factor=0.6)),
    Edit("brightness", "factor 1.5", True, partial(_brighten, factor=1.5)),
    Edit("contrast", "factor 0.6", True, partial(_contrast, factor=0.6)),
    Edit("contrast", "factor 1.6", True, partial(_contrast, factor=1.6)),
    Edit("saturation", "factor 0.4", True, partial(_saturate, factor=0.4)),
    Edit("saturation", "factor 2", True, partial(_saturate, factor=2.0)),
    Edit("colour shift", "hue 30°", True, partial(hue, degrees=30)),
    Edit("colour shift", "hue 90°", True, partial(hue, degrees=90)),
    Edit("colour shift", "warm", True, partial(gains, factors=(1.25, 1.0, 0.75))),
    Edit("colour shift", "cold", True, partial(gains, factors=(0.75, 1.0, 1.25))),
    Edit("grayscale", "grey", True, grey),
    Edit("grayscale", "sepia", True, sepia),
    Edit("blur", "0.5 % of side", True, partial(blur, share=0.005)),
    Edit("blur", "1 % of side", True, partial(blur, share=0.01)),
    Edit("blur", "2 % of side", True, partial(blur, share=0.02)),
    Edit("noise", "deviation 10", False, partial(noise, deviation=10)),
    Edit("noise", "deviation 25", False, partial(noise, deviation=25)),
    Edit("noise", "deviation 50", False, partial(noise, deviation=50)),
    Edit("border", "5 % of side", False, partial(overlays.border, share=0.05)),
    Edit("border", "15 % of side", False, partial(overlays.border, share=0.15)),
    Edit("text", "1 line", False, partial(overlays.text, lines=1)),
    Edit("text", "4 lines", False, partial(overlays.text, lines=4)),
    Edit("emoji", "3 small", False, partial(overlays.smiley, size=0.18, count=3)),
    Edit("emoji", "1 large", False, partial(overlays.smiley, size=0.45, count=1)),
    Edit("picture in picture", "50 % of area", False, partial(_inset, area=0.5), borrows=True),
    Edit("picture in picture", "35 % of area", False, partial(_inset, area=0.35), borrows=True),
    Edit("screenshot", "post", False, overlays.post),
    Edit("screenshot", "phone", False, overlays.phone),
    Edit("screenshot", "window", False, overlays.window),
    Edit("resize", "75 %", True, partial(resize, across=0.75, down=0.75)),
    Edit("resize", "50 %", True, partial(resize, across=0.5, down=0.5)),
    Edit("resize", "25 %", True, partial(resize, across=0.25, down=0.25)),
    Edit("resize", "stretched 4:3", True, partial(resize, across=4 / 3, down=1.0)),
    Edit("jpeg", "quality 60", True, partial(encode, format="JPEG", quality=60)),
    Edit("jpeg", "quality 30", True, partial(encode, format="JPEG", quality=30)),
    Edit("jpeg", "quality 10", True, partial(encode, format="JPEG", quality=10)),
    Edit("webp", "quality 50", True, partial(encode, format="WEBP", quality=50)),
    Edit("webp", "quality 10", True, partial(encode, format="WEBP", quality=10)),
)
_MILD = tuple(edit for edit in _SINGLE if edit.mild)

EDITS: tuple[Edit, ...] = (
    *_SINGLE,
    Edit("combination", "three mild", False, partial(combine, edits=_MILD)),
    Edit("combination", "three of all", False, partial(combine, edits=_SINGLE), borrows=True),
)


def named(name: str, strength: str) -> Edit:
    """Return one edit of the table. Raises KeyError where there is none."""
    for edit in EDITS:
        if (edit.name, edit.strength) == (name, strength):
            return edit
    raise KeyError(f"{name}, {strength}")


# Few enough to be made every few epochs of a training run, and none of them saturates early.
VALIDATION_EDITS: tuple[Edit, ...] = (
    named("crop", "50 % of area"),
    named("flip", "left-right"),
    named("rotation", "15°"),
    named("colour shift", "hue 90°"),
    named("text", "4 lines"),
    named("picture in picture", "50 % of area"),
    named("screenshot", "phone"),
    named("combination", "three of all"),
)
