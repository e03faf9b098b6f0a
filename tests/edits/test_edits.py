"""The edits: what each of them does to pixels whose every place has its own colour."""

from __future__ import annotations

import pickle
import random
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from sscd_cli.edits.named import EDITS, VALIDATION_EDITS, Edit, combine, named

WIDTH, HEIGHT = 96, 64


def places(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """An image whose pixel at (x, y) has the colour (x, y, 77), unlike any other image here."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x, y, np.full_like(x, 77)], axis=-1).astype(np.uint8))


def photograph(seed: int, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def made(edit: Edit, image: Image.Image, seed: int = 0, other: Image.Image | None = None) -> bytes:
    copy = edit.apply(image, random.Random(seed), other or photograph(99))
    return f"{copy.size}".encode() + copy.tobytes()


def holds_whole(canvas: Image.Image, image: Image.Image) -> bool:
    """Whether some window of `canvas` equals `image`, pixel for pixel."""
    pixels, wanted = np.asarray(canvas), np.asarray(image)
    rows, columns = pixels.shape[0] - image.height + 1, pixels.shape[1] - image.width + 1
    return any(
        np.array_equal(pixels[y : y + image.height, x : x + image.width], wanted)
        for y in range(rows)
        for x in range(columns)
        if np.array_equal(pixels[y, x], wanted[0, 0])
    )


def of_name(name: str) -> list[Edit]:
    return [edit for edit in EDITS if edit.name == name]


all_edits = pytest.mark.parametrize("edit", EDITS, ids=lambda e: f"{e.name}-{e.strength}")


def test_there_are_sixteen_names_and_more_with_several_strengths_each() -> None:
    strengths = Counter(edit.name for edit in EDITS)
    assert len(strengths) >= 16
    assert min(strengths.values()) >= 2
    assert len({(edit.name, edit.strength) for edit in EDITS}) == len(EDITS)


def test_mild_are_re_encoding_resizing_the_least_crop_blur_and_colour() -> None:
    colour = {"brightness", "contrast", "saturation", "colour shift", "grayscale"}
    assert {edit.name for edit in EDITS if edit.mild} == {
        "jpeg",
        "webp",
        "resize",
        "crop",
        "blur",
    } | colour
    assert [edit.strength for edit in of_name("crop") if edit.mild] == ["90 % of area"]


def test_validation_takes_a_few_of_the_table() -> None:
    assert 6 <= len(VALIDATION_EDITS) <= 10
    assert set(VALIDATION_EDITS) <= set(EDITS)


def test_an_unknown_edit_is_named() -> None:
    with pytest.raises(KeyError, match="crop, 1 %"):
        named("crop", "1 %")


@all_edits
def test_the_seed_alone_decides_what_is_made(edit: Edit) -> None:
    image, other = photograph(1), photograph(2)
    before = image.tobytes(), other.tobytes()
    assert made(edit, image, 3, other) == made(edit, image, 3, other)
    assert (image.tobytes(), other.tobytes()) == before


@all_edits
def test_every_copy_differs_from_its_original(edit: Edit) -> None:
    image = photograph(1, 480, 320)
    assert made(edit, image) != f"{image.size}".encode() + image.tobytes()


@all_edits
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (7, 5), (72, 9)])
def test_tiny_and_thin_images_survive(edit: Edit, size: tuple[int, int]) -> None:
    for seed in range(3):
        copy = edit.apply(Image.new("RGB", size, (9, 99, 200)), random.Random(seed), photograph(2))
        assert copy.mode == "RGB"
        assert min(copy.size) >= 1


def test_a_panorama_is_shrunk_to_what_webp_can_hold() -> None:
    image = Image.new("RGB", (16_400, 8), (200, 30, 30))
    copy = named("webp", "quality 10").apply(image, random.Random(0), image)
    assert copy.size == (16_383, 8)


@all_edits
def test_only_borrowing_edits_show_the_other_photograph(edit: Edit) -> None:
    differs = any(
        made(edit, photograph(1), seed, photograph(2))
        != made(edit, photograph(1), seed, photograph(3))
        for seed in range(40 if edit.name == "combination" else 3)
    )
    assert differs == edit.borrows


@all_edits
def test_edits_travel_to_other_processes(edit: Edit) -> None:
    again = pickle.loads(pickle.dumps(edit))
    assert made(again, photograph(1)) == made(edit, photograph(1))


@pytest.mark.parametrize("edit", of_name("crop"), ids=lambda e: e.strength)
def test_a_crop_is_a_window_of_the_stated_area_at_a_random_place(edit: Edit) -> None:
    share = int(edit.strength.split()[0]) / 100
    corners = set()
    for seed in range(20):
        copy = edit.apply(places(), random.Random(seed), places())
        assert copy.width * copy.height == pytest.approx(share * WIDTH * HEIGHT, rel=0.03)
        left, top, _ = copy.getpixel((0, 0))
        assert (
            copy.tobytes()
            == places().crop((left, top, left + copy.width, top + copy.height)).tobytes()
        )
        corners.add((left, top))
    assert len(corners) > 5


@pytest.mark.parametrize(
    ("strength", "corner"),
    [("90°", (WIDTH - 1, 0)), ("180°", (WIDTH - 1, HEIGHT - 1)), ("270°", (0, HEIGHT - 1))],
)
def test_quarter_turns_move_the_corners(strength: str, corner: tuple[int, int]) -> None:
    copy = named("quarter turn", strength).apply(places(), random.Random(0), places())
    assert copy.getpixel((0, 0)) == (*corner, 77)
    assert copy.size == ((WIDTH, HEIGHT) if strength == "180°" else (HEIGHT, WIDTH))


def test_flips_mirror_one_axis() -> None:
    across, down = (edit.apply(places(), random.Random(0), places()) for edit in of_name("flip"))
    assert across.getpixel((0, 0)) == (WIDTH - 1, 0, 77)
    assert down.getpixel((0, 0)) == (0, HEIGHT - 1, 77)


@pytest.mark.parametrize(
    "edit",
    of_name("border") + of_name("screenshot") + of_name("picture in picture"),
    ids=lambda e: f"{e.name}-{e.strength}",
)
@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (HEIGHT, WIDTH), (40, 150)])
def test_frames_keep_the_image_whole(edit: Edit, size: tuple[int, int]) -> None:
    for seed in range(4):
        copy = edit.apply(places(*size), random.Random(seed), photograph(5))
        assert holds_whole(copy, places(*size))


@pytest.mark.parametrize("edit", of_name("picture in picture"), ids=lambda e: e.strength)
def test_picture_in_picture_takes_the_stated_area(edit: Edit) -> None:
    share = int(edit.strength.split()[0]) / 100
    copy = edit.apply(places(), random.Random(0), photograph(5, 30, 200))
    assert WIDTH * HEIGHT / (copy.width * copy.height) == pytest.approx(share, rel=0.03)


@pytest.mark.parametrize("edit", of_name("rotation"), ids=lambda e: e.strength)
def test_rotation_goes_either_way_and_keeps_the_middle(edit: Edit) -> None:
    copies = [edit.apply(places(), random.Random(seed), places()) for seed in range(12)]
    assert len({copy.getpixel((copy.width // 3, copy.height // 2)) for copy in copies}) >= 2
    for copy in copies:
        middle = np.array(copy.getpixel((copy.width // 2, copy.height // 2)))
        assert np.abs(middle - (WIDTH / 2, HEIGHT / 2, 77)).max() <= 2


@pytest.mark.parametrize("deviation", [10, 25, 50])
def test_noise_has_the_stated_deviation(deviation: int) -> None:
    flat = Image.new("RGB", (200, 200), (128, 128, 128))
    copy = named("noise", f"deviation {deviation}").apply(flat, random.Random(0), flat)
    assert np.asarray(copy).std() == pytest.approx(deviation, rel=0.03)
    assert np.asarray(copy).mean() == pytest.approx(128, abs=1)


@pytest.mark.parametrize("percent", ["0.5", "1", "2"])
def test_blur_has_the_stated_width(percent: str) -> None:
    """A step becomes the Gaussian's integral: 84 % of it lies one deviation past the edge."""
    step = Image.new("RGB", (400, 400))
    step.paste((255, 255, 255), (200, 0, 400, 400))
    copy = named("blur", f"{percent} % of side").apply(step, random.Random(0), step)
    deviation = float(percent) / 100 * 400
    values = np.asarray(copy)[200, :, 0] / 255
    assert np.interp(199.5 + deviation, np.arange(400), values) == pytest.approx(0.841, abs=0.02)


def test_colours_change_as_they_say() -> None:
    grey = Image.new("RGB", (8, 8), (100, 100, 100))
    teal = Image.new("RGB", (8, 8), (40, 120, 120))

    def first(name: str, strength: str, image: Image.Image) -> tuple[int, ...]:
        pixel = named(name, strength).apply(image, random.Random(1), image).getpixel((0, 0))
        assert isinstance(pixel, tuple)
        return pixel

    assert first("brightness", "factor 0.6", grey) == (60, 60, 60)
    assert first("brightness", "factor 1.5", grey) == (150, 150, 150)
    assert first("colour shift", "warm", grey) == (125, 100, 75)
    assert first("colour shift", "cold", grey) == (75, 100, 125)
    assert first("colour shift", "hue 90°", grey) == (100, 100, 100)
    assert len(set(first("grayscale", "grey", teal))) == 1
    red, _, blue = first("grayscale", "sepia", teal)
    assert red > blue
    assert np.ptp(first("saturation", "factor 0.4", teal)) == pytest.approx(32, abs=2)
    assert max(first("colour shift", "hue 90°", teal)) == pytest.approx(120, abs=3)


@pytest.mark.parametrize("edit", of_name("resize"), ids=lambda e: e.strength)
def test_resize_scales_as_it_says(edit: Edit) -> None:
    copy = edit.apply(places(), random.Random(0), places())
    across, down = copy.width / WIDTH, copy.height / HEIGHT
    if edit.strength == "stretched 4:3":
        assert (across, down) == (pytest.approx(4 / 3), 1)
    else:
        assert across == down == int(edit.strength.split()[0]) / 100


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_lower_quality_moves_pixels_further(name: str) -> None:
    image = photograph(1, 256, 192)
    moved = [
        np.abs(np.asarray(edit.apply(image, random.Random(0), image)) - np.asarray(image, float))
        for edit in of_name(name)
    ]
    errors = [float(each.mean()) for each in moved]
    assert errors == sorted(errors)
    assert 0 < errors[0] < errors[-1] < 20


@pytest.mark.parametrize("name", ["text", "emoji"])
def test_overlays_cover_a_part_and_leave_the_rest_alone(name: str) -> None:
    for edit in of_name(name):
        for seed in range(6):
            image = places(200, 150)
            copy = edit.apply(image, random.Random(seed), image)
            changed = (np.asarray(copy) != np.asarray(image)).any(axis=-1).mean()
            assert copy.size == image.size
            assert 0.005 < changed < 0.6


def test_a_combination_is_three_different_names_in_the_order_of_the_table() -> None:
    seen: list[str] = []

    def stamped(name: str, strength: str) -> Edit:
        def apply(image: Image.Image, rng: random.Random, other: Image.Image) -> Image.Image:
            seen.append(name)
            return image

        return Edit(name, strength, False, apply)

    edits = [stamped(name, strength) for name in "abcdefg" for strength in ("weak", "strong")]
    for seed in range(30):
        seen.clear()
        combine(places(), random.Random(seed), places(), edits=edits)
        assert len(set(seen)) == 3
        assert seen == sorted(seen)
