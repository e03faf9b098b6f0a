"""The second look at a pair: copies are confirmed or let be, other shots are told, one-sided."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

import numpy as np
import other_shots
import pytest
from PIL import Image

from sscd_cli.advice.pixels.alignment import VIEWS, View, inverse, laid_over, point_map, whole_map
from sscd_cli.advice.pixels.verdict import SIDE, second_look, small
from sscd_cli.edits.named import Edit, named


@cache
def scene(number: int) -> Image.Image:
    """A picture with detail everywhere: overlapping shapes on a rough ground."""
    rng = np.random.default_rng(number)
    ground = rng.uniform(0, 255, (12, 16, 3)).astype(np.uint8)
    image = Image.fromarray(ground).resize((480, 360), Image.Resampling.BICUBIC)
    pixels = np.array(image)
    y, x = np.mgrid[:360, :480]
    for _ in range(90):
        left, top, wide = rng.integers(0, 480), rng.integers(0, 360), rng.integers(5, 45)
        inside = (np.abs(x - left) * rng.uniform(0.5, 2) + np.abs(y - top)) < wide
        pixels[inside] = rng.integers(0, 256, 3)
    return Image.fromarray(pixels)


def said(one: Image.Image, other: Image.Image) -> str:
    return second_look(small(one), small(other))


WHOLE = [
    named("flip", "left-right"),
    named("quarter turn", "90°"),
    named("quarter turn", "180°"),
    named("resize", "50 %"),
    named("resize", "stretched 4:3"),
    named("jpeg", "quality 30"),
    named("blur", "1 % of side"),
    named("contrast", "factor 0.6"),
    named("grayscale", "sepia"),
]
PARTS = [
    named("crop", "50 % of area"),
    named("rotation", "5°"),
    named("border", "15 % of side"),
    named("screenshot", "phone"),
    named("picture in picture", "50 % of area"),
]
LAID_OVER = [
    named("text", "1 line"),
    named("text", "4 lines"),
    named("emoji", "3 small"),
    named("emoji", "1 large"),
]


@pytest.mark.parametrize("edit", WHOLE, ids=lambda edit: f"{edit.name} {edit.strength}")
def test_a_copy_of_the_whole_picture_is_confirmed(edit: Edit) -> None:
    one = scene(1)
    assert said(one, edit.apply(one, random.Random(1), scene(2))) == "copy confirmed"


@pytest.mark.parametrize("edit", PARTS, ids=lambda edit: f"{edit.name} {edit.strength}")
def test_a_part_of_a_picture_is_confirmed(edit: Edit) -> None:
    one = scene(1)
    assert said(one, edit.apply(one, random.Random(1), scene(2))) == "copy confirmed"


@pytest.mark.parametrize("edit", LAID_OVER, ids=lambda edit: f"{edit.name} {edit.strength}")
def test_what_was_laid_over_a_copy_makes_it_no_other_shot(edit: Edit) -> None:
    for number in range(3):
        one = scene(number)
        assert said(one, edit.apply(one, random.Random(number), scene(9))) != "other shot"


@pytest.mark.parametrize("kind", ["pages", "forms", "codes", "screens", "logos"])
def test_two_of_one_kind_are_two_shots(kind: str) -> None:
    draw: Callable[[int], other_shots.Pair] = getattr(other_shots, kind)
    assert said(*draw(3)) == "other shot"


@pytest.mark.parametrize(
    "number", [0, 1, 12, 13], ids=["moved subject", "depth", "moved a little", "little depth"]
)
def test_the_next_of_a_burst_is_another_shot(number: int) -> None:
    assert said(*other_shots.bursts(number, scene(number))) == "other shot"


def test_a_product_seen_from_another_side_is_most_often_another_shot_and_never_a_copy() -> None:
    # each single one may turn out otherwise on another CPU
    found = [said(*other_shots.products(number)) for number in range(2020, 2045)]
    assert found.count("other shot") >= 21
    assert "copy confirmed" not in found


@pytest.mark.parametrize("edit", [*WHOLE, *PARTS, *LAID_OVER[:3]], ids=lambda e: e.strength)
def test_an_edited_picture_of_a_product_is_no_other_shot(edit: Edit) -> None:
    for number in range(3):
        one, other = other_shots.products(number)
        assert said(one, edit.apply(one, random.Random(number), other)) != "other shot"


@pytest.mark.parametrize("kind", ["pages", "forms", "codes", "screens", "logos"])
def test_a_recompressed_page_is_no_other_shot(kind: str) -> None:
    one = getattr(other_shots, kind)(3)[0]
    copy = named("jpeg", "quality 30").apply(one, random.Random(0), one)
    assert said(one, copy) == "copy confirmed"


@pytest.mark.parametrize(
    "edit", [*WHOLE, *PARTS, *LAID_OVER], ids=lambda e: f"{e.name} {e.strength}"
)
def test_an_edited_drawing_is_no_other_shot(edit: Edit) -> None:
    for number in range(3):
        one, other = other_shots.logos(number)
        assert said(one, edit.apply(one, random.Random(number), other)) != "other shot"


@pytest.mark.parametrize("kind", ["pages", "forms"])
@pytest.mark.parametrize(
    ("name", "strength"),
    [
        ("crop", "50 % of area"),
        ("crop", "70 % of area"),
        ("picture in picture", "50 % of area"),
        ("blur", "2 % of side"),
    ],
)
def test_small_print_that_is_not_found_again_is_no_other_shot(
    kind: str, name: str, strength: str
) -> None:
    for number in range(4):
        one, other = getattr(other_shots, kind)(number)
        copy = named(name, strength).apply(one, random.Random(number), other)
        assert said(one, copy) != "other shot"


def test_the_order_of_the_two_does_not_matter() -> None:
    one = scene(4)
    for other in (scene(5), named("blur", "1 % of side").apply(one, random.Random(), one)):
        assert said(one, other) == said(other, one)


def test_unlike_pictures_are_not_confirmed() -> None:
    assert said(scene(4), scene(5)) != "copy confirmed"


@pytest.mark.parametrize("size", [(1, 1), (30, 400), (320, 320)])
def test_next_to_nothing_to_see_cannot_be_told(size: tuple[int, int]) -> None:
    flat = Image.new("RGB", size, "grey")
    assert said(flat, flat) == "cannot tell"


def test_small_keeps_the_shape_and_never_enlarges() -> None:
    assert small(Image.new("RGB", (640, 320))).shape == (160, SIDE, 3)
    assert small(Image.new("L", (40, 20))).shape == (20, 40, 3)


@pytest.mark.parametrize("size", [(320, 320), (320, 240)])
def test_copies_of_an_even_pattern_that_fits_in_any_view_are_laid_over_one_another_unturned(
    size: tuple[int, int],
) -> None:
    """Squashed it is of one grey, and no point of interest is like only one other."""
    stripes = np.tile(np.repeat(np.array([60, 180], np.uint8), 5), (size[1], 32))
    pattern = Image.fromarray(stripes).convert("RGB")
    assert said(pattern, pattern) == "copy confirmed"
    copy = named("jpeg", "quality 30").apply(pattern, random.Random(0), pattern)
    assert said(pattern, copy) == "copy confirmed"


@pytest.mark.parametrize("view", VIEWS)
def test_a_map_lays_a_turned_picture_over_its_source(view: View) -> None:
    one = np.asarray(scene(6).convert("L"), np.float32)
    other = np.ascontiguousarray(view.of(one))
    alike, to = whole_map(one, other)
    assert alike > 0.99
    seen = laid_over(other, to, one.shape)
    assert np.abs(seen - one).mean() < 0.5
    back = laid_over(one, inverse(to), other.shape)
    assert np.abs(back - other).mean() < 0.5


def test_points_find_the_box_of_a_mirrored_crop() -> None:
    one = np.asarray(scene(7).convert("L"), np.float32)
    to = point_map(one, one[40:320, 100:400][:, ::-1])
    assert to is not None
    assert np.abs(to - [[-1, 0, 400], [0, 1, -40]]).max() < 2


def lit_from_the_left(thing: Image.Image) -> Image.Image:
    """A thing on a plain ground, which is darker to the right."""
    slope = np.broadcast_to(np.linspace(235, 175, 480)[None, :, None], (360, 480, 3))
    ground = Image.fromarray(slope.astype(np.uint8))
    ground.paste(thing, (140, 80), thing.getchannel("A"))
    return ground


def thing(turn: float) -> Image.Image:
    """A round cut-out of a scene, turned."""
    cut = scene(5).crop((100, 60, 300, 260)).rotate(turn, Image.Resampling.BICUBIC)
    y, x = np.mgrid[:200, :200]
    round_ = np.hypot(x - 99.5, y - 99.5) < 95
    cut.putalpha(Image.fromarray((round_ * 255).astype(np.uint8)))
    return cut


@pytest.mark.parametrize("turn", [15, 40, 100])
def test_a_thing_that_was_turned_before_its_ground_is_no_confirmed_copy(turn: float) -> None:
    assert said(lit_from_the_left(thing(0)), lit_from_the_left(thing(turn))) != "copy confirmed"


@pytest.mark.parametrize("turn", [15, 40])
def test_a_picture_that_was_turned_is_confirmed_whatever_its_tones(turn: float) -> None:
    picture = scene(7)
    turned = picture.rotate(turn, Image.Resampling.BICUBIC).crop((110, 80, 370, 280))
    lighter = turned.point([round(255 * (level / 255) ** 0.7) for level in range(256)] * 3)
    assert said(picture, lighter) == "copy confirmed"
