"""Augmentation sets: their names, their output, and the reference's settings of `advanced`."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import get_args

import numpy as np
import pytest
from drawn_pictures import draw_picture
from PIL import Image, ImageChops

from sscd_cli.choices import Augmentations
from sscd_cli.edits import augmentations as augment
from sscd_cli.edits.augmentations import AUGMENTATIONS
from sscd_cli.edits.overlays import glyphs, sticker


def test_the_sets_have_the_papers_names_and_ours() -> None:
    assert tuple(AUGMENTATIONS) == get_args(Augmentations)
    assert AUGMENTATIONS["mixup"] is AUGMENTATIONS["advanced"]


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("shape", [(64, 48), (1, 1), (1, 90), (90, 1)])
def test_a_view_is_a_square_rgb_image_whatever_the_picture(
    name: str, shape: tuple[int, int]
) -> None:
    image = draw_picture(1, *shape) if min(shape) > 8 else Image.new("RGB", shape, (9, 200, 30))
    before = image.tobytes()
    transform = AUGMENTATIONS[name](40)
    for seed in range(40):
        view = transform(image, Random(seed))
        assert (view.mode, view.size) == ("RGB", (40, 40))
    assert image.tobytes() == before, "the original changed"


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_view_depends_on_its_generator_alone(name: str) -> None:
    image, transform = draw_picture(2), AUGMENTATIONS[name](32)
    first = [transform(image, Random(seed)).tobytes() for seed in range(60)]
    again = [transform(image, Random(seed)).tobytes() for seed in reversed(range(60))]
    assert first == again[::-1]
    assert len(set(first)) > 50


class Recorder:
    """Stands in for the makers of transforms: says how often each ran, and with which settings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]) -> None:
        self.runs: Counter[str] = Counter()
        self.made: dict[str, tuple[object, ...]] = {}
        for name in names:
            monkeypatch.setattr(augment, name, self._plain(name))

    def _plain(self, name: str) -> object:
        def transform(image: Image.Image, rng: Random) -> Image.Image:
            self.runs[name] += 1
            return image

        return transform

    def maker(self, name: str) -> object:
        def make(*settings: object, **named: object) -> object:
            self.made[name] = (*settings, *named.values())
            return self._plain(name)

        return make


def test_advanced_has_the_probabilities_and_ranges_of_the_reference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = ("flip", "quarter_turn", "glyphs", "sticker", "grayscale")
    recorder = Recorder(monkeypatch, plain)
    for name in ("rotate", "resized_crop", "colour_jitter", "blur", "jpeg"):
        monkeypatch.setattr(augment, name, recorder.maker(name))
    transform, rng, draws = augment.advanced(224), Random(0), 20_000
    image = Image.new("RGB", (4, 4))
    for _ in range(draws):
        transform(image, rng)
    expected = {
        "flip": 0.5,
        "quarter_turn": 0.05,
        "glyphs": 0.1,
        "sticker": 0.2,
        "rotate": 0.05,
        "resized_crop": 1.0,
        "colour_jitter": 0.8,
        "grayscale": 0.2,
        "blur": 0.5,
        "jpeg": 0.2,
    }
    assert set(recorder.runs) == set(expected)
    for name, probability in expected.items():
        assert recorder.runs[name] / draws == pytest.approx(probability, abs=0.012), name
    assert recorder.made == {
        "rotate": (180,),
        "resized_crop": (224,),
        "colour_jitter": (),
        "blur": (1, 5),
        "jpeg": (0, 100),
    }


def test_simclr_and_strong_blur_differ_in_the_blur_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch, ())
    monkeypatch.setattr(augment, "blur", recorder.maker("blur"))
    augment.simclr(8)
    assert recorder.made == {"blur": (0.1, 2)}
    augment.strong_blur(8)
    assert recorder.made == {"blur": (1, 5)}


def test_crops_cover_the_stated_share_of_the_area_and_aspect() -> None:
    rng, areas, aspects = Random(0), [], []
    for _ in range(500):
        left, top, right, bottom = augment._crop_box((300, 200), 0.08, rng)
        assert 0 <= left < right <= 300
        assert 0 <= top < bottom <= 200
        areas.append((right - left) * (bottom - top) / 60_000)
        aspects.append((right - left) / (bottom - top))
    assert 0.079 < min(areas) < 0.12
    assert max(areas) > 0.8
    assert 0.745 < min(aspects) < 0.8
    assert 1.25 < max(aspects) < 1.34


def test_a_crop_of_a_sliver_stays_inside_it() -> None:
    box = augment._crop_box((1000, 2), 0.5, Random(0))
    assert 0 <= box[0] < box[2] <= 1000
    assert (box[1], box[3]) == (0, 2)


def test_jitter_changes_brightness_contrast_saturation_by_at_most_its_strength() -> None:
    grey = Image.new("RGB", (4, 4), (100, 100, 100))
    jitter = augment.colour_jitter(0.8, 0.2)
    levels = [jitter(grey, Random(seed)).getpixel((0, 0))[0] for seed in range(300)]
    assert 15 <= min(levels) < 40
    assert 160 < max(levels) <= 181


def test_hue_turns_by_at_most_its_share_of_the_circle() -> None:
    red = Image.new("RGB", (1, 1), (255, 0, 0))
    hues = {
        augment._shift_hue(0.2)(red, Random(seed)).convert("HSV").getpixel((0, 0))[0]
        for seed in range(300)
    }
    assert all(hue <= 52 or hue >= 203 for hue in hues)
    assert any(40 < hue < 60 for hue in hues)
    assert any(200 < hue < 215 for hue in hues)


def test_blur_radius_is_that_of_a_view_of_224_pixels() -> None:
    step = Image.new("L", (448, 448))
    step.paste(255, (224, 0, 448, 448))

    def width(image: Image.Image) -> int:
        row = np.asarray(image)[len(np.asarray(image)) // 2].astype(int)
        return int(((row > 40) & (row < 215)).sum())

    large = width(augment.blur(5, 5)(step, Random(0)))
    small = width(augment.blur(5, 5)(step.resize((224, 224)), Random(0)))
    assert large == pytest.approx(2 * small, abs=2)


def test_quality_zero_to_a_hundred_can_be_encoded() -> None:
    image = draw_picture(4)
    worst, best = (augment.jpeg(q, q)(image, Random(0)) for q in (0, 100))
    errors = [np.asarray(ImageChops.difference(image, x)).mean() for x in (worst, best)]
    assert errors[0] > 5 * errors[1]


def test_text_lies_inside_the_picture_and_differs_by_generator() -> None:
    plain = Image.new("RGB", (200, 120), (0, 0, 0))
    boxes = []
    for seed in range(80):
        box = glyphs(plain, Random(seed)).getbbox()
        if box:
            boxes.append(box)
            assert box[2] <= 200
            assert box[3] <= 120
    assert len(boxes) > 60
    assert len(set(boxes)) > 50
    assert max(box[2] - box[0] for box in boxes) > 120


def test_an_emoji_has_a_tenth_to_half_of_the_short_side() -> None:
    plain = Image.new("RGB", (300, 200), (0, 0, 0))
    sides = []
    for seed in range(120):
        left, top, right, bottom = sticker(plain, Random(seed)).getbbox() or (0, 0, 0, 0)
        sides.append(max(right - left, bottom - top))
    assert 18 <= min(sides) < 35
    assert 85 < max(sides) <= 100
