"""How much a picture holds, how many a file holds, and that both travel with the descriptors."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import DATA, Run, names_in
from PIL import Image, ImageDraw

from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.images.decode import LOW_CONTENT, Decoded, content_of, decode
from sscd_cli.images.opening import frames_of
from sscd_cli.images.preprocess import RECIPES
from sscd_cli.images.refs import ImageRef

PHOTOS = Path(__file__).parents[3] / "shared" / "data" / "photos"
SIZE = (640, 480)


def drawn(draw: Callable[[ImageDraw.ImageDraw], object], background: str) -> Image.Image:
    image = Image.new("RGB", SIZE, background)
    draw(ImageDraw.Draw(image))
    return image


def slope(across: float, down: float) -> Image.Image:
    y, x = np.mgrid[0:480, 0:640]
    return Image.fromarray(np.uint8(across * x / 640 + down * y / 480)).convert("RGB")


def scan() -> Image.Image:
    grain = 240 + 6 * np.random.default_rng(0).standard_normal((480, 640))
    return Image.fromarray(np.uint8(grain.clip(0, 255))).convert("RGB")


EMPTY = {
    "white": lambda: Image.new("RGB", SIZE, "white"),
    "red rectangle": lambda: drawn(lambda d: d.rectangle((100, 100, 400, 300), "red"), "white"),
    "green square": lambda: drawn(lambda d: d.rectangle((200, 100, 440, 340), "green"), "grey"),
    "grey stripes": lambda: drawn(
        lambda d: [d.rectangle((x, 0, x + 19, 480), "grey") for x in range(0, 640, 40)], "white"
    ),
    "gradient": lambda: slope(255, 0),
    "slanting gradient": lambda: slope(127, 127),
    "moon": lambda: drawn(lambda d: d.ellipse((400, 60, 460, 120), "white"), "black"),
    "large moon": lambda: drawn(lambda d: d.ellipse((200, 60, 460, 320), "white"), "black"),
    "blank scan": scan,
}


@pytest.mark.parametrize("name", EMPTY)
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_pictures_with_next_to_nothing_in_them_are_below_the_limit(
    name: str, format: str, tmp_path: Path
) -> None:
    EMPTY[name]().save(tmp_path / "image", format, quality=30)
    found = decode(ImageRef("image", "", str(tmp_path / "image")), RECIPES["mini-160"])
    assert isinstance(found, Decoded)
    assert found.content is not None
    assert found.content < LOW_CONTENT


def test_no_picture_of_the_gallery_is_below_the_limit() -> None:
    for path in sorted((DATA / "gallery").glob("*.[jp][pn]g")):
        found = decode(ImageRef(path.name, "", str(path)), RECIPES["mini-160"])
        if isinstance(found, Decoded):
            assert found.content is not None
            assert found.content > LOW_CONTENT, path.name


@pytest.mark.skipif(not PHOTOS.exists(), reason="photographs of the development set")
def test_no_photograph_is_below_the_limit() -> None:
    for path in sorted(PHOTOS.glob("*.jpg")):
        found = decode(ImageRef(path.name, "", str(path)), RECIPES["mini-160"])
        assert isinstance(found, Decoded)
        assert found.content is not None
        assert found.content > LOW_CONTENT, path.name


def test_content_is_measured_at_any_input_size() -> None:
    empty = np.full((32, 32, 3), 200, np.uint8)
    assert content_of(empty) == content_of(np.full((288, 1000, 3), 200, np.uint8)) < 32


def saved(format: str, frames: int, **options: object) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (frames, 8, 8, 3), np.uint8)
    first, *others = map(Image.fromarray, noise)
    stream = io.BytesIO()
    first.save(stream, format, save_all=True, append_images=others, **options)
    return stream.getvalue()


def opened(data: bytes) -> int:
    with Image.open(io.BytesIO(data)) as image:
        return frames_of(image)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("frames", [1, 3])
def test_frames_are_counted(format: str, frames: int) -> None:
    assert opened(saved(format, frames)) == frames


def test_a_file_with_a_second_eye_is_one_picture() -> None:
    assert opened(saved("MPO", 2)) == 1


def test_a_file_damaged_behind_its_first_frame_has_more_than_one() -> None:
    data = saved("TIFF", 3)
    assert opened(data[: len(data) // 2]) > 1


def test_embed_stores_frames_content_and_a_digest_of_the_pixels(tiny: Run, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    noise.save(photos / "a.png")
    noise.save(photos / "b.bmp")
    noise.rotate(90).save(photos / "c.png")
    (photos / "d.gif").write_bytes(saved("GIF", 3))
    Image.new("RGB", (40, 40), "red").save(photos / "e.png")
    assert tiny("embed", photos).status == 0
    columns = read_descriptors(tmp_path / "descriptors").columns
    assert columns["frames"].tolist() == [1, 1, 1, 3, 1]
    assert (columns["content"] < LOW_CONTENT).tolist()[::4] == [False, True]
    digests = [row.tobytes() for row in columns["pixel_hash"]]
    assert digests[0] == digests[1] != digests[2]
    assert digests[3] == bytes(16), "a digest of one frame would stand for all"


def test_shards_of_an_earlier_version_are_read_and_joined_with_new_ones(
    tiny: Run, tmp_path: Path, gallery: Path
) -> None:
    assert tiny("embed", gallery / "alps.jpg").status == 0
    path = tmp_path / "descriptors" / "shard-000000.parquet"
    table = pq.read_table(path).drop_columns(["frames", "content", "pixel_hash"])
    pq.write_table(table, path)
    assert tiny("embed", gallery / "reef.jpg").status == 0
    assert names_in(tmp_path / "descriptors")[-1] == "shard-000001.parquet"
    columns = read_descriptors(tmp_path / "descriptors").columns
    assert columns["frames"].tolist() == [0, 1]
    assert columns["content"][0] == -1
    assert not columns["pixel_hash"][0].any()
