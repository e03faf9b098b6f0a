"""Augmentation sets: how an image becomes a view.

A transform takes an RGB image and a seeded generator and returns an RGB image. Pixel radii are
those of the reference's 224-pixel views and scale with the view's size.
Source: SSCD paper, section 4.3; probabilities and ranges from the reference's
`sscd/transforms/settings.py`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from random import Random

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from sscd_cli.edits.overlays import any_colour, glyphs, sticker

Augmentation = Callable[[Image.Image, Random], Image.Image]
QUARTER_TURNS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)


def chain(*transforms: Augmentation) -> Augmentation:
    """Apply one transform after another."""

    def run(image: Image.Image, rng: Random) -> Image.Image:
        for transform in transforms:
            image = transform(image, rng)
        return image

    return run


def sometimes(probability: float, transform: Augmentation) -> Augmentation:
    """Apply a transform with the given probability."""

    def run(image: Image.Image, rng: Random) -> Image.Image:
        return transform(image, rng) if rng.random() < probability else image

    return run


def flip(image: Image.Image, rng: Random) -> Image.Image:
    return ImageOps.mirror(image)


def quarter_turn(image: Image.Image, rng: Random) -> Image.Image:
    return image.transpose(rng.choice(QUARTER_TURNS))


def rotate(degrees: int) -> Augmentation:
    """Rotate by up to `degrees` either way, corners black."""

    def run(image: Image.Image, rng: Random) -> Image.Image:
        return image.rotate(rng.randint(-degrees, degrees), Image.Resampling.BILINEAR)

    return run


def tilt(degrees: int) -> Augmentation:
    """Rotate by up to `degrees` either way, corners black or white, cut to size or not."""

    def run(image: Image.Image, rng: Random) -> Image.Image:
        angle, fill = rng.uniform(-degrees, degrees), rng.choice(((0, 0, 0), (255, 255, 255)))
        kept = rng.random() < 0.5
        return image.rotate(angle, Image.Resampling.BILINEAR, expand=kept, fillcolor=fill)

    return run


def squash(size: int) -> Augmentation:
    """Resize to a square without cropping, as the network's own preprocessing does."""
    return lambda image, rng: image.resize((size, size), Image.Resampling.BILINEAR)


def resized_crop(size: int, least_area: float = 0.08) -> Augmentation:
    """Crop a random share of the area with a random aspect (3:4 to 4:3), resize to a square."""

    def run(image: Image.Image, rng: Random) -> Image.Image:
        box = _crop_box(image.size, least_area, rng)
        return image.resize((size, size), Image.Resampling.BILINEAR, box=box)

    return run


def _crop_box(
    size: tuple[int, int], least_area: float, rng: Random
) -> tuple[float, float, float, float]:
    """Draw boxes until one lies inside the image, as torchvision does; clip the tenth."""
    width, height = size
    for _ in range(10):
        area = rng.uniform(least_area, 1) * width * height
        aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = math.sqrt(area * aspect), math.sqrt(area / aspect)
        if w <= width and h <= height:
            break
    w, h = min(w, width), min(h, height)
    left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
    return left, top, min(left + w, width), min(top + h, height)


def colour_jitter(strength: float = 0.8, hue: float = 0.2) -> Augmentation:
    """Change brightness, contrast, saturation (each by 1 ± strength) and hue, in random order."""

    def run(image: Image.Image, rng: Random) -> Image.Image:
        steps: list[Augmentation] = [
            _enhance(ImageEnhance.Brightness, strength),
            _enhance(ImageEnhance.Contrast, strength),
            _enhance(ImageEnhance.Color, strength),
            _shift_hue(hue),
        ]
        rng.shuffle(steps)
        return chain(*steps)(image, rng)

    return run


def _enhance(kind: Callable[[Image.Image], ImageEnhance._Enhance], strength: float) -> Augmentation:
    return lambda image, rng: kind(image).enhance(rng.uniform(1 - strength, 1 + strength))


def _shift_hue(most: float) -> Augmentation:
    def run(image: Image.Image, rng: Random) -> Image.Image:
        shift = round(rng.uniform(-most, most) * 255)
        hue, saturation, value = image.convert("HSV").split()
        hue = hue.point([(level + shift) % 256 for level in range(256)])
        return Image.merge("HSV", (hue, saturation, value)).convert("RGB")

    return run


def grayscale(image: Image.Image, rng: Random) -> Image.Image:
    return image.convert("L").convert("RGB")


def blur(low: float, high: float) -> Augmentation:
    """Blur by a Gaussian whose radius is given in pixels of a 224-pixel view."""

    def run(image: Image.Image, rng: Random) -> Image.Image:
        radius = rng.uniform(low, high) * min(image.size) / 224
        return image.filter(ImageFilter.GaussianBlur(radius))

    return run


def jpeg(low: int, high: int) -> Augmentation:
    """Encode as JPEG with a random quality and decode again."""

    def run(image: Image.Image, rng: Random) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=rng.randint(low, high))
        return Image.open(buffer).convert("RGB")

    return run


def frame(image: Image.Image, rng: Random) -> Image.Image:
    """Add bands of one colour to the sides, each up to two fifths of the picture."""
    width, height = image.size
    bands = [rng.uniform(0, 0.4) if rng.random() < 0.6 else 0.0 for _ in range(4)]
    left, right = round(bands[0] * width), round(bands[1] * width)
    top, bottom = round(bands[2] * height), round(bands[3] * height)
    colour = rng.choice([(0, 0, 0), (255, 255, 255), any_colour(rng), any_colour(rng)])
    canvas = Image.new("RGB", (width + left + right, height + top + bottom), colour)
    canvas.paste(image, (left, top))
    return canvas


def noise(image: Image.Image, rng: Random) -> Image.Image:
    """Blend in Gaussian noise."""
    # Pillow's own noise has one generator for the whole process
    draw = np.random.default_rng(rng.getrandbits(64))
    grain = draw.normal(128, 100, (image.height, image.width)).clip(0, 255).astype(np.uint8)
    return Image.blend(image, Image.fromarray(grain).convert("RGB"), rng.uniform(0.05, 0.3))


def simclr(size: int) -> Augmentation:
    return chain(resized_crop(size), *_colours(sometimes(0.5, blur(0.1, 2))))


def strong_blur(size: int) -> Augmentation:
    return chain(resized_crop(size), *_colours(sometimes(0.5, blur(1, 5))))


def _colours(blurring: Augmentation) -> tuple[Augmentation, ...]:
    return (
        sometimes(0.5, flip),
        sometimes(0.8, colour_jitter()),
        sometimes(0.2, grayscale),
        blurring,
    )


def advanced(size: int) -> Augmentation:
    return chain(
        sometimes(0.5, flip),
        sometimes(0.05, quarter_turn),
        sometimes(0.1, glyphs),
        sometimes(0.2, sticker),
        sometimes(0.05, rotate(180)),
        resized_crop(size),
        sometimes(0.8, colour_jitter()),
        sometimes(0.2, grayscale),
        sometimes(0.5, blur(1, 5)),
        sometimes(0.2, jpeg(0, 100)),
    )


def copies(size: int) -> Augmentation:
    """Our own set, for short runs: edits as people make them, often mild, sometimes several.

    Against `advanced` it adds frames, noise and quarter turns as frequent as on the web's copies,
    keeps at least a fifth of the picture, and shows one view in four uncropped.
    """
    return chain(
        sometimes(0.5, flip),
        sometimes(0.35, quarter_turn),
        sometimes(0.2, glyphs),
        sometimes(0.2, sticker),
        sometimes(0.2, tilt(30)),
        sometimes(0.2, frame),
        _either(0.7, resized_crop(size, least_area=0.2), squash(size)),
        sometimes(0.6, colour_jitter(0.6, 0.25)),
        sometimes(0.15, grayscale),
        sometimes(0.3, blur(0.5, 4)),
        sometimes(0.1, noise),
        sometimes(0.25, jpeg(5, 90)),
    )


def _either(probability: float, first: Augmentation, second: Augmentation) -> Augmentation:
    def run(image: Image.Image, rng: Random) -> Image.Image:
        return (first if rng.random() < probability else second)(image, rng)

    return run


# by the name of a set, what makes a view of `size` × `size` pixels: `mixup` mixes views afterwards
# (`training.mixing`); `copies` is ours, the others are the paper's
AUGMENTATIONS: dict[str, Callable[[int], Augmentation]] = {
    "simclr": simclr,
    "strong-blur": strong_blur,
    "advanced": advanced,
    "mixup": advanced,
    "copies": copies,
}
