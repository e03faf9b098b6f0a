"""TIFF that Pillow does not read: bands, real numbers, planes, BigTIFF, rare compressions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_pictures import draw_picture
from PIL import Image
from tiffs import tiff

from sscd_cli.images.decode import Decoded, decode
from sscd_cli.images.opening import some_frames
from sscd_cli.images.read import Limits, Unreadable
from sscd_cli.images.refs import ImageRef

COLOURS = np.asarray(draw_picture(5, 96, 64))
GREY = np.asarray(draw_picture(5, 96, 64).convert("L"))
BANDS = np.dstack([COLOURS, *[255 - GREY] * 10]).astype(np.uint16) * 257
REAL = (COLOURS / 255).astype(np.float64)


def read(path: Path, limits: Limits | None = None) -> Decoded | Unreadable:
    found = decode(ImageRef(path.name, "", str(path)), limits=limits or Limits())
    assert isinstance(found, Decoded | Unreadable)
    return found


def looks_like(path: Path, true: np.ndarray) -> None:
    found = read(path)
    assert isinstance(found, Decoded), found
    assert found.pixels is not None
    assert (found.width, found.height) == (96, 64)
    assert np.abs(found.pixels.astype(int) - true.reshape(64, 96, -1)).max() <= 2


@pytest.mark.parametrize(
    ("samples", "how", "true"),
    [
        pytest.param(BANDS, {"photometric": 1}, COLOURS, id="13 bands"),
        pytest.param(BANDS, {"photometric": 1, "planes": True}, COLOURS, id="13 bands in planes"),
        pytest.param(COLOURS.astype(np.uint16) * 257, {"planes": True}, COLOURS, id="planes"),
        pytest.param(REAL.astype(np.float32), {}, COLOURS, id="real colours"),
        pytest.param(REAL, {"order": ">"}, COLOURS, id="double, big-endian"),
        pytest.param(REAL[..., 0].astype(np.float16), {}, COLOURS[..., :1], id="half grey"),
        pytest.param(REAL[..., 0], {"photometric": 0}, 255 - COLOURS[..., :1], id="white is zero"),
    ],
)
def test_a_sound_tiff_is_read(
    tmp_path: Path, samples: np.ndarray, how: dict[str, Any], true: np.ndarray
) -> None:
    pytest.importorskip("tifffile")
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(samples, **how))
    looks_like(path, true)


@pytest.mark.parametrize(
    "how",
    [
        {"bigtiff": True, "byteorder": ">"},
        {"compression": "jpegxl"},
        {"compression": "jpeg2000"},
        {"compression": "webp", "compressionargs": {"lossless": True}},
    ],
)
def test_rare_containers_and_compressions_are_read(tmp_path: Path, how: dict[str, Any]) -> None:
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", COLOURS, photometric="rgb", **how)
    looks_like(tmp_path / "a.tif", COLOURS)


def test_nothing_of_an_elevation_model_is_taken_for_a_value(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    heights = GREY.astype(np.float64) * 3
    heights[:8] = -3.4e38
    (tmp_path / "a.tif").write_bytes(tiff(heights))
    found = read(tmp_path / "a.tif")
    assert isinstance(found, Decoded)
    assert found.pixels is not None
    rest = found.pixels[8:, :, 0].astype(float).ravel()
    assert np.corrcoef(rest, GREY[8:].ravel())[0, 1] > 0.999
    assert not found.pixels[:8].any()


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_white_on_transparent_is_not_empty(
    tmp_path: Path, kind: str, bands: int, dtype: type[np.generic]
) -> None:
    tifffile = pytest.importorskip("tifffile")
    most = 65535 if dtype is np.uint16 else 1
    alpha = (GREY / 255 * most).astype(dtype)
    white = alpha if kind == "assocalpha" else np.full_like(alpha, most)
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.dstack([white] * bands + [alpha]),
        photometric="rgb" if bands == 3 else "minisblack",
        planarconfig="contig",
        extrasamples=[kind],
    )
    looks_like(tmp_path / "a.tif", np.repeat(GREY[..., None], 3, 2))


def test_orientation_and_pages_are_known(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for share in (1, 0.5, 1):
            file.write(REAL * share, photometric="rgb", extratags=[(274, "H", 1, 6, True)])
    found = read(tmp_path / "a.tif")
    assert isinstance(found, Decoded)
    assert (found.width, found.height, found.frames) == (64, 96, 3)
    assert found.pixels is not None
    turned = np.asarray(Image.fromarray(COLOURS).transpose(Image.Transpose.ROTATE_270))
    assert np.abs(found.pixels.astype(int) - turned).max() <= 2
    pages = [page.pixels() for page in some_frames((tmp_path / "a.tif").read_bytes())]
    assert np.array_equal(pages[0], turned)
    assert np.array_equal(pages[0], pages[2])
    assert not np.array_equal(pages[0], pages[1])


def test_a_cut_tiff_is_called_that_with_or_without_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(BANDS, photometric=1)[:-100])
    for _ in range(2):
        found = read(tmp_path / "a.tif")
        assert isinstance(found, Unreadable)
        assert found.error in ("truncated TIFF", "damaged TIFF")
        monkeypatch.setitem(sys.modules, "tifffile", None)


def test_without_the_extra_a_sound_file_names_it_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    (tmp_path / "a.tif").write_bytes(tiff(BANDS, photometric=1))
    found = read(tmp_path / "a.tif")
    assert isinstance(found, Unreadable)
    assert found.error == "TIFF of this kind needs pip install 'sscd-cli[tiff]'"
    assert found.content_hash is None


def test_limits_hold_for_it(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    (tmp_path / "a.tif").write_bytes(tiff(REAL))
    found = read(tmp_path / "a.tif", Limits(pixels=96 * 64 - 1))
    assert isinstance(found, Unreadable)
    assert "raise --max-pixels" in found.error
