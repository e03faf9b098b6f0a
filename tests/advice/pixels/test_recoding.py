"""Which of two files was made from the other: what a JPEG file lost comes back from none."""

from __future__ import annotations

import io
import random
from functools import partial
from itertools import permutations

import pytest
from conftest import DATA
from PIL import Image

from sscd_cli.advice.pixels.originals import Look, Origin, compare
from sscd_cli.edits.named import Edit, named, resize
from sscd_cli.images.opening import open_picture

SAME = Edit("same", "", True, lambda image, rng, other: image)
HALF = Edit("resize", "60 %", True, partial(resize, across=0.6, down=0.6))


def gallery(name: str) -> Image.Image:
    """Return a picture without traces of the coding of its file."""
    with Image.open(DATA / "gallery" / f"{name}.jpg") as image:
        small = (round(0.8 * image.width), round(0.8 * image.height))
        return image.convert("RGB").resize(small, Image.Resampling.LANCZOS)


def file_of(image: Image.Image, format: str = "JPEG", **how: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **how)
    return stream.getvalue()


def look_at(data: bytes) -> Look:
    picture = open_picture(data)
    return Look.of(picture.image, picture.coding)


def edited(data: bytes, edit: Edit) -> Image.Image:
    return edit.apply(open_picture(data).image, random.Random(3), gallery("leaf"))


def origins(original: bytes, copy: bytes) -> tuple[Origin | None, Origin | None]:
    looks = look_at(original), look_at(copy)
    return compare(*looks), compare(*looks[::-1])


@pytest.mark.parametrize("quality", [75, 85, 95])
@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (SAME, "saved again"),
        (named("flip", "left-right"), "mirrored or turned"),
        (named("quarter turn", "90°"), "mirrored or turned"),
        (named("brightness", "factor 0.6"), None),
        (named("contrast", "factor 1.6"), None),
        (named("saturation", "factor 2"), None),
        (named("text", "1 line"), None),
        (named("crop", "70 % of area"), "a crop"),
        (HALF, "a smaller size"),
    ],
    ids=lambda value: value.name if isinstance(value, Edit) else "",
)
@pytest.mark.parametrize("name", ["harbour", "clock"])
def test_a_copy_that_is_coded_again_is_told_from_its_original(
    name: str, edit: Edit, reason: str | None, quality: int
) -> None:
    original = file_of(gallery(name), quality=90)
    copy = file_of(edited(original, edit), quality=quality)
    for at, verdict in enumerate(origins(original, copy)):
        assert verdict is not None
        assert verdict.original == at
        assert reason in (None, verdict.reason)


@pytest.mark.parametrize("quality", [75, 90])
@pytest.mark.parametrize("edit", [named("flip", "top-bottom"), named("flip", "left-right")])
@pytest.mark.parametrize("name", ["harbour", "clock", "reef", "leaf"])
def test_of_two_files_of_one_picture_none_is_the_original(
    name: str, edit: Edit, quality: int
) -> None:
    """Blocks that are turned as a whole are coded as before, so that hardly anything differs."""
    picture = gallery(name).crop((0, 0, 240, 160))  # whole blocks
    one = file_of(picture, quality=quality)
    other = file_of(edit.apply(picture, random.Random(3), picture), quality=quality)
    for verdict in origins(one, other):
        assert verdict is not None
        assert verdict.original is None


def test_a_mirrored_copy_of_another_quality_is_told_where_either_lies_on_the_grid_of_both() -> None:
    for name in ("harbour", "clock", "reef"):
        original = file_of(gallery(name).crop((0, 0, 240, 160)), quality=88)
        copy = file_of(edited(original, named("flip", "left-right")), quality=90)
        assert [verdict and verdict.original for verdict in origins(original, copy)] == [0, 1]


def test_a_png_file_of_what_a_jpeg_file_holds_is_the_copy() -> None:
    original = file_of(gallery("reef"), quality=80)
    copy = file_of(edited(original, SAME), "PNG")
    assert origins(original, copy) == ((0, "saved again"), (1, "saved again"))


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_a_file_with_traces_of_the_grid_of_a_jpeg_file_is_its_copy(format: str) -> None:
    original = file_of(gallery("reef").crop((0, 0, 400, 320)), quality=90)
    copy = file_of(edited(original, named("flip", "left-right")), format, quality=95)
    assert origins(original, copy) == ((0, "mirrored or turned"), (1, "mirrored or turned"))


def test_a_jpeg_file_of_a_png_file_is_the_copy() -> None:
    original = file_of(gallery("reef"), "PNG")
    copy = file_of(edited(original, SAME), quality=80)
    assert origins(original, copy) == ((0, "saved again"), (1, "saved again"))


def test_the_crop_of_a_picture_with_a_border_of_its_own_is_the_copy() -> None:
    framed = Image.new("RGB", (440, 440), "white")
    framed.paste(gallery("reef").resize((400, 400)), (20, 20))
    original = file_of(framed, quality=90)
    copy = file_of(open_picture(original).image.crop((40, 50, 380, 390)), quality=90)
    assert origins(original, copy) == ((0, "a crop"), (1, "a crop"))


def test_two_copies_of_a_third_picture_tell_nothing() -> None:
    third = gallery("reef")
    files = file_of(third, quality=80), file_of(third.transpose(0), quality=80)
    assert origins(*files) == (Origin(None), Origin(None))


def test_two_files_of_one_picture_are_the_same_as_themselves() -> None:
    data = file_of(gallery("reef"), quality=90)
    assert origins(data, data) == (None, None)


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("alps", named("colour shift", "cold")),
        ("aurora", named("colour shift", "warm")),
        ("aurora", named("contrast", "factor 0.6")),
        ("harbour", named("contrast", "factor 0.6")),
    ],
)
def test_a_finer_copy_with_other_tones_is_not_the_original_of_a_coarse_file(
    name: str, edit: Edit
) -> None:
    """The file comes out again from such a copy, too, whose pixels were on its grid already."""
    original = file_of(gallery(name), quality=60)
    copy = file_of(edited(original, edit), "WEBP", quality=95)
    first, second = origins(original, copy)
    assert first and second
    assert (first.original, second.original) == (0, 1)


def test_pictures_of_a_few_pixels_are_compared_with_any() -> None:
    sizes = [(1, 1), (1, 2), (2, 2), (2, 5), (3, 3), (1, 90), (90, 2), (200, 200)]
    image = gallery("clock")
    looks = [look_at(file_of(image.resize(size), quality=60)) for size in sizes]
    for one, other in permutations(looks, 2):
        compare(one, other)
