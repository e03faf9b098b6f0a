"""Fast recipes: large images are shrunk while they are decoded, and nearly nothing is lost."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3
from PIL import Image

from sscd_cli.images import opening
from sscd_cli.images.decode import Decoded, decode
from sscd_cli.images.preprocess import RECIPES, Recipe
from sscd_cli.images.read import Limits, Unreadable
from sscd_cli.images.refs import ImageRef
from sscd_cli.images.resize import resize, size_of

FAST = replace(RECIPES["mini-160"], decode="fast")
SHORT = replace(RECIPES["small-288"], decode="fast")


@lru_cache
def scene(width: int, height: int) -> Image.Image:
    """A picture with detail at every scale, as photographs have it."""
    rng = np.random.default_rng(width)
    planes = np.zeros((height, width, 3))
    for side in (4, 16, 64, 256):
        coarse = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
        planes += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) / side
    return Image.fromarray((255 * planes / planes.max()).astype(np.uint8))


def written(tmp_path: Path, image: Image.Image, kind: str = "JPEG", **options: object) -> ImageRef:
    path = tmp_path / f"image.{kind.lower()}"
    image.save(path, kind, **options)
    return ImageRef("key", "", str(path))


def decoded(ref: ImageRef, recipe: Recipe) -> Decoded:
    result = decode(ref, recipe)
    assert isinstance(result, Decoded)
    return result


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("recipe", [FAST, SHORT], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("size", [(1999, 1501), (901, 2603), (330, 350)])
def test_pixels_differ_from_exact_ones_by_less_than_a_grey_level(
    tmp_path: Path, kind: str, recipe: Recipe, size: tuple[int, int]
) -> None:
    ref = written(tmp_path, scene(*size), kind, compress_level=1)
    fast, exact = decoded(ref, recipe), decoded(ref, replace(recipe, decode="exact"))
    assert (fast.width, fast.height) == (exact.width, exact.height) == size
    assert fast.pixels is not None and exact.pixels is not None
    assert fast.pixels.shape == exact.pixels.shape
    assert np.abs(fast.pixels.astype(int) - exact.pixels).mean() < 1


def test_a_large_jpeg_is_never_decoded_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref, seen = written(tmp_path, scene(1700, 1300)), []
    real = opening.resize
    monkeypatch.setattr(
        opening, "resize", lambda image, *how: seen.append(size_of(image)) or real(image, *how)
    )
    decoded(ref, FAST)
    decoded(ref, replace(FAST, decode="exact"))
    assert seen == [(425, 325), (1700, 1300)]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(1281, 1283), (1603, 961), (643, 641)])
def test_the_last_pixels_of_a_shrunk_picture_are_not_stretched(
    tmp_path: Path, size: tuple[int, int], orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    # stripes, of which a shift of half a pixel changes much
    across, down = np.meshgrid(np.arange(size[0]) / 9, np.arange(size[1]) / 7)
    waves = 127 + 60 * np.sin(across) + 60 * np.sin(down)
    image = Image.fromarray(np.stack([waves] * 3, -1).astype(np.uint8))
    ref = written(tmp_path, image, quality=95, exif=exif)
    fast, exact = decoded(ref, FAST), decoded(ref, replace(FAST, decode="exact"))
    assert fast.pixels is not None and exact.pixels is not None
    assert np.abs(fast.pixels.astype(int) - exact.pixels).mean() < 1


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("recipe", [FAST, SHORT], ids=lambda recipe: recipe.name)
def test_a_shrunk_image_is_turned_upright(tmp_path: Path, orientation: int, recipe: Recipe) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    ref = written(tmp_path, scene(2000, 1400), exif=exif)
    fast, exact = decoded(ref, recipe), decoded(ref, replace(recipe, decode="exact"))
    assert (fast.width, fast.height) == ((2000, 1400) if orientation == 3 else (1400, 2000))
    assert (fast.width, fast.height) == (exact.width, exact.height)
    assert fast.pixels is not None and exact.pixels is not None
    assert np.abs(fast.pixels.astype(int) - exact.pixels).mean() < 1


def test_a_torn_jpeg_is_unreadable_at_any_resolution(tmp_path: Path) -> None:
    ref = written(tmp_path, scene(2000, 1400))
    data = Path(ref.path).read_bytes()
    Path(ref.path).write_bytes(data[: len(data) // 2])
    result = decode(ref, FAST)
    assert isinstance(result, Unreadable)
    assert "truncated" in result.error


def test_an_image_above_the_limit_may_be_read_when_the_limit_rises(tmp_path: Path) -> None:
    ref = written(tmp_path, scene(400, 300))
    for pixels in (119_999, 10):
        result = decode(ref, FAST, Limits(pixels=pixels))
        assert isinstance(result, Unreadable)
        assert result.content_hash is None, "with one, a later run would take it as done"
        assert result.file_bytes is not None
    assert isinstance(decode(ref, FAST, Limits(pixels=120_000)), Decoded)


@pytest.fixture
def loud() -> Iterator[None]:
    """Any warning is an error, and Pillow's own limit is very low."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = 10
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    Image.MAX_IMAGE_PIXELS = before


def test_many_threads_decode_at_once(tmp_path: Path, loud: None) -> None:
    buffer = io.BytesIO()
    scene(300, 200).save(buffer, "TIFF")
    refs = []
    for i in range(64):
        path = tmp_path / f"{i}.tiff"
        path.write_bytes(buffer.getvalue())
        refs.append(ImageRef(path.name, "", str(path)))
    filters = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda ref: decode(ref, FAST), refs))
    assert all(isinstance(result, Decoded) for result in results)
    assert Image.MAX_IMAGE_PIXELS == 10
    assert list(warnings.filters) == filters


@pytest.mark.parametrize("size", [(500, 375), (333, 207), (160, 640), (90, 70), (161, 159)])
def test_pixels_of_an_array_are_those_of_the_image_and_near_the_exact_ones(
    size: tuple[int, int],
) -> None:
    image = scene(*size)
    fast = resize(image, FAST)
    assert np.array_equal(fast, resize(np.asarray(image), FAST))
    assert np.abs(fast.astype(int) - resize(image, replace(FAST, decode="exact"))).mean() < 0.5


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"mode": "L"}])
def test_a_small_jpeg_has_the_pixels_and_the_hash_of_its_copy_in_png(
    tmp_path: Path, options: dict[str, object]
) -> None:
    image = scene(301, 199).convert(str(options.pop("mode", "RGB")))
    ref = written(tmp_path, image, **options)
    copy = written(tmp_path, Image.open(ref.path), "PNG")
    ours, theirs = decoded(ref, FAST), decoded(copy, FAST)
    assert ours.pixels is not None and theirs.pixels is not None
    assert np.array_equal(ours.pixels, theirs.pixels)
    assert ours.pixel_hash == theirs.pixel_hash is not None


def test_the_hash_of_pixels_is_the_same_in_every_version(tmp_path: Path) -> None:
    # decisions name pictures by it: another hash would forget what people said of them
    ref = written(tmp_path, Image.new("RGB", (3, 2), (1, 2, 3)), "PNG")
    pixels = blake3(b"3\0" + bytes([1, 2, 3] * 6)).digest(length=16)
    assert (
        decoded(ref, FAST).pixel_hash == pixels == bytes.fromhex("dcc1c677a61b2fd1e05f30d70c022a8b")
    )


def test_a_jpeg_with_a_fault_that_pillow_forgives_is_read(tmp_path: Path) -> None:
    ref = written(tmp_path, scene(301, 199))
    data = Path(ref.path).read_bytes()
    scan = data.rindex(b"\xff\xda")
    Path(ref.path).write_bytes(data[:scan] + b"\0\0" + data[scan:])  # libjpeg warns of it
    assert isinstance(
        opening.open_picture(Path(ref.path).read_bytes(), recipe=FAST).upright, Image.Image
    )
    assert decoded(ref, FAST).pixel_hash is not None
