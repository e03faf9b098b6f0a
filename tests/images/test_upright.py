"""A picture is turned upright once, in every format and by every command and call."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from decoding import encoded, open_image
from drawn_pictures import draw_picture
from PIL import Image

import sscd_cli
from sscd_cli.images.formats import jxl_orientation, register
from sscd_cli.images.opening import UPRIGHT, upright_rgb

register()
Image.init()
SIDE = (96, 64)
# how a picture has to lie in the file for a reader to turn it upright
LAID = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


def lying(image: Image.Image, orientation: int, kind: str, **options: object) -> bytes:
    """Return a file of a picture that is upright only once it has been turned by `orientation`."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    method = UPRIGHT.get(orientation)
    laid = image.transpose(LAID.get(orientation, method)) if method is not None else image
    return encoded(
        laid, kind, exif=exif if kind in ("JPEG", "PNG", "TIFF") else exif.tobytes(), **options
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "JXL"])
def test_a_picture_is_turned_once_in_every_format(kind: str, orientation: int) -> None:
    if kind not in Image.SAVE:
        pytest.skip(f"nothing here writes {kind}")
    picture = draw_picture(3, *SIDE)
    found = open_image(lying(picture, orientation, kind, quality=95))
    assert found.size == SIDE
    assert np.abs(np.asarray(found, float) - np.asarray(picture, float)).mean() < 8
    assert (found.info, dict(found.getexif())) == ({}, {})
    assert np.array_equal(upright_rgb(found), found)


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the whole of each box of a JPEG XL file."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4]) or len(data) - at
        yield data[at + 4 : at + 8], data[at : at + size]
        at += size


def test_a_jpeg_xl_that_says_it_twice_is_turned_once(tmp_path: Path) -> None:
    if "JXL" not in Image.SAVE:
        pytest.skip("nothing here writes JPEG XL")
    picture = draw_picture(3, *SIDE)
    (tmp_path / "a.jpg").write_bytes(lying(picture, 6, "JPEG", quality=95))
    jpeg = Image.open(tmp_path / "a.jpg")
    both = encoded(jpeg, "JXL", lossless_jpeg=True, exif=jpeg.info["exif"])
    exif = bytes(4) + jpeg.info["exif"].removeprefix(b"Exif\0\0")
    parts = [part for name, part in boxes(both) if name not in (b"jbrd", b"brob", b"Exif")]
    parts.insert(2, struct.pack(">I4s", 8 + len(exif), b"Exif") + exif)
    without_jpeg = b"".join(parts)
    assert Image.open(io.BytesIO(without_jpeg)).getexif()[0x0112] == 6
    for data in (both, without_jpeg):
        assert jxl_orientation(data) == 6
        found = open_image(data)
        assert found.size == SIDE
        assert np.abs(np.asarray(found, float) - np.asarray(picture, float)).mean() < 8


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    """Return a folder of pictures as phones write them: lying, with EXIF."""
    folder = tmp_path / "phone"
    folder.mkdir()
    for seed in range(4):
        data = lying(draw_picture(seed, *SIDE), 5 + seed, "PNG")
        (folder / f"{seed}.png").write_bytes(data)
        (tmp_path / f"{seed}.png").write_bytes(encoded(draw_picture(seed, *SIDE)))
    return folder


def test_pair_turns_a_picture_once(tiny: Run, phone: Path) -> None:
    for seed in range(4):
        (record,) = tiny("pair", phone / f"{seed}.png", f"{seed}.png", "-f", "json").lines
        assert json.loads(record)["similarity"] == pytest.approx(1, abs=1e-6)
    (record,) = tiny("pair", phone / "1.png", "1.png", "-f", "json", "--no-exif").lines
    assert json.loads(record)["similarity"] < 0.9999


def test_pair_explains_a_turned_picture_as_unchanged(tiny: Run, phone: Path) -> None:
    said = tiny("pair", phone / "1.png", "1.png", "--explain").out.decode()
    assert "unchanged" in said
    assert "turned" not in said


def test_search_finds_a_phone_picture_in_its_own_dataset(tiny: Run, phone: Path) -> None:
    assert tiny("embed", phone).status == 0
    for seed in range(4):
        for query in (phone / f"{seed}.png", Path(f"{seed}.png")):
            hit = json.loads(tiny("search", query, "-k", "1", "-f", "jsonl").lines[0])
            assert Path(hit["path"]).name == f"{seed}.png"
            assert hit["similarity"] == pytest.approx(1, abs=1e-3)  # stored as float16


def test_dedup_explains_a_turned_picture_as_unchanged(tiny: Run, phone: Path) -> None:
    (phone / "copy.png").write_bytes((phone.parent / "1.png").read_bytes())
    said = tiny("dedup", phone, "-t", "0.9999", "--explain").out.decode()
    assert "unchanged" in said
    assert "turned" not in said


def test_calibrate_and_eval_self_see_pictures_upright(tiny: Run, phone: Path) -> None:
    upright = phone.parent / "upright"
    upright.mkdir()
    for seed in range(4):
        (phone.parent / f"{seed}.png").rename(upright / f"{seed}.png")
    lying_pictures, right_ones = (
        tiny("eval", "self", folder, "-f", "json").out for folder in (phone, upright)
    )
    assert json.loads(lying_pictures) == json.loads(right_ones)
    for folder in (phone, upright):
        assert tiny("embed", folder, "-d", f"{folder}.d", "--dtype", "float32").status == 0
    found = [
        json.loads(tiny("calibrate", "-d", f"{folder}.d", "-f", "json").out)
        for folder in (phone, upright)
    ]
    assert found[0]["curve"] == found[1]["curve"]


def test_paths_images_and_arrays_are_seen_alike(phone: Path, tiny_model: Path) -> None:
    model = sscd_cli.load_model(str(tiny_model), device="cpu", precision="fp32")
    for seed in range(4):
        path = phone / f"{seed}.png"
        picture = draw_picture(seed, *SIDE)
        with Image.open(path) as image:
            rows = model.embed([path, image, picture, np.asarray(picture)])
        assert np.abs(rows - rows[0]).max() < 1e-6
    grey = np.asarray(picture.convert("L"))
    assert np.array_equal(model.embed([grey]), model.embed([Image.fromarray(grey)]))
