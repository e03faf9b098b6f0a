"""Which of two pictures was made from the other, and that the original stays for that reason."""

from __future__ import annotations

import io
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA, Run, records_of
from PIL import Image, ImageEnhance, ImageFilter

from sscd_cli.advice.pixels.originals import Look, Origin, compare
from sscd_cli.edits.named import Edit, named, resize
from sscd_cli.images.opening import open_picture

UPSCALE = Edit("resize", "200 %", True, partial(resize, across=2.0, down=2.0))


def gallery_image(name: str) -> Image.Image:
    with Image.open(DATA / "gallery" / f"{name}.jpg") as image:
        return image.convert("RGB")


def saved(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=92)
    with Image.open(stream) as read:
        return read.convert("RGB")


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (UPSCALE, "an upscale"),
        (named("resize", "50 %"), "a smaller size"),
        (named("resize", "stretched 4:3"), "stretched"),
        (named("border", "5 % of side"), "on a frame or canvas"),
        (named("rotation", "15°"), "on a frame or canvas"),
        (named("screenshot", "phone"), "on a frame or canvas"),
        (named("crop", "70 % of area"), "a crop"),
        (named("text", "4 lines"), "with something laid over it"),
        (named("grayscale", "grey"), "with less colour"),
        (named("grayscale", "sepia"), "with less colour"),
        (named("noise", "deviation 25"), "with noise"),
        (named("blur", "1 % of side"), "with less detail"),
        (named("contrast", "factor 0.6"), "with less contrast"),
    ],
    ids=lambda value: f"{value.name} {value.strength}" if isinstance(value, Edit) else "",
)
@pytest.mark.parametrize("name", ["harbour", "reef"])
def test_an_edited_copy_is_told_from_its_original_in_either_order(
    name: str, edit: Edit, reason: str
) -> None:
    original = gallery_image(name)
    copy = saved(edit.apply(original, random.Random(1), gallery_image("leaf")))
    looks = Look.of(original), Look.of(copy)
    assert compare(*looks) == (0, reason)
    assert compare(*looks[::-1]) == (1, reason)


@pytest.mark.parametrize("name", ["harbour", "reef", "alps"])
@pytest.mark.parametrize("how", [ImageFilter.UnsharpMask(1, 80, 2), ImageFilter.SHARPEN])
def test_a_sharpened_copy_does_not_make_its_original_one_with_less_detail(
    name: str, how: ImageFilter.Filter
) -> None:
    original = gallery_image(name)
    looks = Look.of(original), Look.of(saved(original.filter(how)))
    assert compare(*looks) == compare(*looks[::-1]) == Origin(None)


@pytest.mark.parametrize("name", ["harbour", "reef", "canyon"])
def test_a_soft_picture_is_no_upscale_of_its_smaller_copy(name: str) -> None:
    original = gallery_image(name).filter(ImageFilter.GaussianBlur(0.9))
    size = round(original.width * 0.75), round(original.height * 0.75)
    looks = Look.of(original), Look.of(original.resize(size, Image.Resampling.LANCZOS))
    assert compare(*looks) == (0, "a smaller size")
    assert compare(*looks[::-1]) == (1, "a smaller size")


@pytest.mark.parametrize("name", ["harbour", "reef", "vase"])
def test_a_copy_of_more_colour_does_not_make_its_original_one_with_less(name: str) -> None:
    original = gallery_image(name)
    for factor, told in ((2.5, Origin(None)), (0.2, Origin(0, "with less colour"))):
        copy = saved(ImageEnhance.Color(original).enhance(factor))
        assert compare(Look.of(original), Look.of(copy)) == told


@pytest.mark.parametrize("name", ["alps", "canyon", "harbour"])
def test_a_picture_is_no_crop_of_one_that_has_a_blur_of_it_put_around_it(name: str) -> None:
    original = gallery_image(name).crop((0, 0, 400, 400))
    wide = original.resize((640, 640)).crop((0, 140, 640, 500))
    wide = wide.filter(ImageFilter.GaussianBlur(20))
    wide.paste(original.resize((360, 360), Image.Resampling.LANCZOS), (140, 0))
    looks = Look.of(original), Look.of(saved(wide))
    assert compare(*looks) == compare(*looks[::-1]) == Origin(None)


def look_at(image: Image.Image, format: str, **options: Any) -> Look:
    """Look at the file that a picture becomes."""
    stream = io.BytesIO()
    image.save(stream, format, **options)
    picture = open_picture(stream.getvalue())
    return Look.of(picture.image, picture.coding, picture.format)


@pytest.mark.parametrize("name", ["harbour", "reef", "canyon"])
@pytest.mark.parametrize("how", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
@pytest.mark.parametrize("scale", [1.3, 2.0])
def test_an_enlarged_copy_is_told_in_files_that_no_coding_tells_of(
    name: str, how: Image.Resampling, scale: float
) -> None:
    original = gallery_image(name)
    size = round(original.width * scale), round(original.height * scale)
    looks = look_at(original, "PNG"), look_at(original.resize(size, how), "WEBP", quality=90)
    assert compare(*looks) == (0, "an upscale")
    assert compare(*looks[::-1]) == (1, "an upscale")


@pytest.mark.parametrize("name", ["harbour", "reef", "canyon"])
@pytest.mark.parametrize(
    "edit", [("blur", "1 % of side"), ("colour shift", "warm"), ("noise", "deviation 10")]
)
@pytest.mark.parametrize("format", ["JPEG", "AVIF"])
def test_blocks_of_its_own_make_no_file_a_copy_of_a_jpeg_file(
    name: str, edit: tuple[str, str], format: str
) -> None:
    """A photograph that a telephone took upright, which its file says, or one in AVIF."""
    taken = gallery_image(name).crop((0, 0, 384, 320))
    exif = Image.Exif()
    exif[274] = 6
    turned = taken.transpose(Image.Transpose.ROTATE_90) if format == "JPEG" else taken
    original = look_at(turned, format, quality=90, **({"exif": exif} if turned != taken else {}))
    copy = look_at(named(*edit).apply(taken, random.Random(1), taken), "JPEG", quality=92)
    told = compare(original, copy)
    assert told is None or told.original != 1
    told = compare(copy, original)
    assert told is None or told.original != 0


def test_pixels_do_not_tell_of_a_mirror_image_or_of_another_picture() -> None:
    original = gallery_image("reef")
    mirrored = original.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert compare(Look.of(original), Look.of(mirrored)) == Origin(None)
    assert compare(Look.of(original), Look.of(gallery_image("clock"))) == Origin(None)


def test_of_two_that_show_the_same_none_is_the_original() -> None:
    original = gallery_image("reef")
    assert compare(Look.of(original), Look.of(original)) is None
    assert compare(Look.of(original), Look.of(saved(original))) is None


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 2), (16, 16)])
def test_pictures_of_any_size_can_be_looked_at(size: tuple[int, int]) -> None:
    look = Look.of(Image.new("RGB", size, "red"))
    assert compare(look, look) is None
    compare(look, Look.of(gallery_image("reef")))


@pytest.fixture
def planted(sscd: Run, tmp_path: Path) -> dict[str, dict[str, object]]:
    """Return the members of one cluster: an original with larger and heavier copies."""
    folder = tmp_path / "photos"
    folder.mkdir()
    original = gallery_image("harbour")
    original.save(folder / "z.jpg", quality=85)
    rng = random.Random(2)
    for name, edit in (("a", UPSCALE), ("b", named("border", "5 % of side"))):
        edit.apply(original, rng, original).save(folder / f"{name}.png")
    ran = sscd("dedup", folder, "-t", "0.4", "-f", "jsonl")
    assert ran.status == 0, ran.err
    members = [member for record in records_of(ran.out) for member in record["members"]]
    return {Path(member["path"]).name: member for member in members}


def test_the_original_stays_and_each_row_says_why(planted: dict[str, dict[str, object]]) -> None:
    assert {name: member["keep"] for name, member in planted.items()} == {
        "z.jpg": True,
        "a.png": False,
        "b.png": False,
    }
    assert {name: member["reason"] for name, member in planted.items()} == {
        "z.jpg": "",
        "a.png": "an upscale",
        "b.png": "on a frame or canvas",
    }


def test_without_the_word_original_facts_decide(
    planted: dict[str, dict[str, object]], sscd: Run
) -> None:
    ran = sscd("dedup", "-t", "0.4", "--keep", "resolution", "-f", "paths")
    assert sorted(Path(line).name for line in ran.lines) == ["b.png", "z.jpg"]
    ran = sscd("dedup", "-t", "0.4", "--keep-path", "*/b.png", "-f", "paths")
    assert sorted(Path(line).name for line in ran.lines) == ["a.png", "z.jpg"]


@pytest.mark.parametrize("name", ["harbour", "marbles", "planks"])
def test_of_two_that_pixels_cannot_tell_the_turned_one_is_to_be_looked_at(
    sscd: Run, tmp_path: Path, name: str
) -> None:
    """A picture turned on a larger canvas, which is less alike than copies are."""
    folder = tmp_path / "photos"
    folder.mkdir()
    original = gallery_image(name)
    original.save(folder / "b.png")
    original.rotate(25, Image.Resampling.BICUBIC, expand=True).save(folder / "a.png")
    (members,) = (
        record["members"] for record in records_of(sscd("dedup", folder, "-f", "jsonl").out)
    )
    assert [(Path(member["path"]).name, member["band"]) for member in members] == [
        ("b.png", ""),
        ("a.png", "look at it"),
    ]


@pytest.fixture
def mirrored(tmp_path: Path) -> Path:
    """Return a folder with a picture and its mirror image, in files that do not tell."""
    folder = tmp_path / "photos"
    folder.mkdir()
    original = gallery_image("reef")
    original.save(folder / "a.png")
    original.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "b.png")
    return folder


def test_where_nothing_tells_which_was_edited_both_stay(sscd: Run, mirrored: Path) -> None:
    ran = sscd("dedup", mirrored, "-t", "0.4", "-f", "jsonl")
    (members,) = (record["members"] for record in records_of(ran.out))
    assert [member["keep"] for member in members] == [True, True]
    assert [member["reason"] for member in members] == ["", "nothing tells which is the original"]
    assert not sscd("dedup", "-t", "0.4", "-f", "paths").lines
    assert sscd("dedup", "-t", "0.4", "--exit-code").status == 1  # a gate does not open for that


def test_where_nothing_tells_the_user_may_say_which_stays(sscd: Run, mirrored: Path) -> None:
    sscd("embed", mirrored)
    chosen = sscd("dedup", "-t", "0.4", "--keep-path", "*/b.png", "-f", "paths").lines
    assert [Path(line).name for line in chosen] == ["a.png"]
    for keep in ("path", "path,original"):
        gone = sscd("dedup", "-t", "0.4", "--keep", keep, "-f", "paths").lines
        assert [Path(line).name for line in gone] == ["b.png"]


def test_a_copy_of_an_original_goes_though_nothing_tells_it_from_another_copy(
    sscd: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    original = gallery_image("reef")
    original.save(folder / "a.png")
    small = original.resize((original.width // 2, original.height // 2))
    small.save(folder / "b.png")
    small.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "c.png")
    gone = sscd("dedup", folder, "-t", "0.4", "-f", "paths").lines
    assert [Path(line).name for line in gone] == ["b.png", "c.png"]


def test_the_original_stays_for_copies_that_do_not_resemble_each_other(
    sscd: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    original, rng = gallery_image("harbour"), random.Random(2)
    original.save(folder / "z.jpg", quality=85)
    for name, edit in (
        ("a", named("border", "15 % of side")),
        ("b", named("crop", "50 % of area")),
    ):
        copy = edit.apply(original, rng, original)
        copy.resize((2 * original.width, 2 * original.height)).save(folder / f"{name}.png")
    ran = sscd("dedup", folder, "-t", "0.7", "--yes", "-f", "paths")
    assert sorted(Path(line).name for line in ran.lines) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("name", "edit", "reason"),
    [
        ("reef", named("screenshot", "post"), "on a frame or canvas"),
        ("leaf", named("screenshot", "post"), "on a frame or canvas"),
        ("galaxy", named("brightness", "factor 1.5"), "with clipped tones"),
        ("galaxy", named("contrast", "factor 1.6"), "with clipped tones"),
        ("pebbles", named("emoji", "3 small"), "with clipped tones"),
    ],
)
def test_what_a_copy_has_more_of_does_not_make_it_the_original(
    name: str, edit: Edit, reason: str
) -> None:
    """Room around the picture, brightness, contrast, or the colour of what is laid over it."""
    original = gallery_image(name)
    copy = edit.apply(original, random.Random(4), gallery_image("leaf"))
    looks = Look.of(original), Look.of(copy if edit.name == "screenshot" else saved(copy))
    assert compare(*looks) == (0, reason)
    assert compare(*looks[::-1]) == (1, reason)


@pytest.mark.parametrize("last", [Origin(0, "a copy"), None], ids=["a copy", "the same"])
def test_an_original_stays_though_copies_lead_back_to_it_in_a_circle(
    sscd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: Origin | None
) -> None:
    """a is said to be a copy of b, b one of c, and c one of a, or to show what a shows."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, side in (("a", 380), ("b", 360), ("c", 400)):
        gallery_image("reef").resize((side, side)).save(folder / f"{name}.png")
    said = {(360, 380): Origin(0, "a copy"), (400, 360): Origin(0, "a copy"), (380, 400): last}

    def claimed(one: Look, other: Look) -> Origin | None:
        pair = one.size[0], other.size[0]
        found = said.get(pair, said.get(pair[::-1]))
        return found if found is None or pair in said else Origin(1, found.reason)

    monkeypatch.setattr("sscd_cli.advice.originals.compare", claimed)
    gone = sscd("dedup", folder, "-t", "0.4", "-f", "paths").lines
    assert sorted(Path(line).name for line in gone) == (["b.png"] if last else ["a.png", "b.png"])


def test_copies_of_one_original_are_not_compared_with_each_other(
    sscd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    original = gallery_image("reef")
    for share in (1.0, 0.9, 0.8, 0.7, 0.6):
        copy = resize(original, random.Random(0), original, across=share, down=share)
        copy.save(folder / f"{share}.png")
    compared: list[tuple[int, int]] = []

    def counting(one: Look, other: Look) -> Origin | None:
        compared.append((one.pixels, other.pixels))
        return compare(one, other)

    monkeypatch.setattr("sscd_cli.advice.originals.compare", counting)
    ran = sscd("dedup", folder, "-f", "paths")
    assert sorted(Path(line).name for line in ran.lines) == [
        "0.6.png",
        "0.7.png",
        "0.8.png",
        "0.9.png",
    ]
    assert len(compared) == 4
