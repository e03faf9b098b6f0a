"""Formats that extras read: HEIC, JPEG XL, raw; bombs, and what is said without the extra."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from decoding import open_image
from drawn_pictures import draw_picture
from PIL import Image

from sscd_cli.images import formats, guards, opening, signatures
from sscd_cli.images.decode import decode
from sscd_cli.images.read import Unreadable
from sscd_cli.images.reasons import RefusedError
from sscd_cli.images.refs import ImageRef

pytest.importorskip("pillow_heif")
pytest.importorskip("pillow_jxl")
pytest.importorskip("rawpy")


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    formats.register()
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def raw(width: int, height: int, *, flip: int = 1) -> bytes:
    """Return a DNG of a sensor (red top left, then green; green, blue) that saw orange."""
    rows, columns = np.indices((height, width))
    values = np.choose(rows % 2 + columns % 2, [40000, 20000, 4000]).astype("<u2")
    matrix = [32406, -15372, -4986, -9689, 18758, 415, 557, -2040, 10570]  # the sensor sees sRGB
    tags: list[tuple[int, str, list[int]]] = [
        (254, "I", [0]), (256, "I", [width]), (257, "I", [height]), (258, "H", [16]),
        (259, "H", [1]), (262, "H", [32803]), (273, "I", [8]), (274, "H", [flip]),
        (277, "H", [1]), (278, "I", [height]), (279, "I", [2 * width * height]),
        (33421, "H", [2, 2]), (33422, "B", [0, 1, 1, 2]), (50706, "B", [1, 4, 0, 0]),
        (50708, "B", [*b"Test\0"]), (50717, "H", [65535]),
        (50721, "R", [n for value in matrix for n in (value, 10000)]),
        (50728, "R", [1, 1, 1, 1, 1, 1]),
    ]  # fmt: skip
    kinds = {"B": (1, "B", 1), "H": (3, "H", 1), "I": (4, "I", 1), "R": (10, "i", 2)}
    start = 8 + values.nbytes
    extra, entries = b"", b""
    for tag, kind, content in tags:
        number, code, per = kinds[kind]
        payload = struct.pack(f"<{len(content)}{code}", *content)
        if len(payload) > 4:
            offset = start + 2 + 12 * len(tags) + 4 + len(extra)
            extra += payload
            payload = struct.pack("<I", offset)
        entries += struct.pack("<HHI", tag, number, len(content) // per) + payload.ljust(4, b"\0")
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return struct.pack("<4sI", b"II*\0", start) + values.tobytes() + directory + extra


@pytest.mark.parametrize(("format", "name"), [("HEIF", "HEIF"), ("JXL", "JXL"), ("AVIF", "AVIF")])
def test_an_image_comes_out_nearly_as_it_went_in(format: str, name: str) -> None:
    image = draw_picture(3, 90, 70)
    found = open_image(saved(image, format, quality=95))
    assert (found.format, found.size, found.mode) == (name, image.size, "RGB")
    error = np.abs(np.asarray(found, float) - np.asarray(image, float)).mean()
    assert error < 8


@pytest.mark.parametrize("size", [(64, 64), (256, 8), (300, 200), (16, 9), (1000, 500), (513, 7)])
def test_the_size_of_jpeg_xl_is_known_before_it_is_decoded(size: tuple[int, int]) -> None:
    flat = saved(Image.new("RGB", size), "JXL")
    exif = Image.Exif()
    exif[271] = "somebody"
    for data in (flat, saved(Image.new("RGB", size), "JXL", exif=exif.tobytes())):
        formats.refuse_jxl_bomb(data, size[0] * size[1])
        with pytest.raises(Image.DecompressionBombError, match=f"{size[0]} x {size[1]} pixels"):
            formats.refuse_jxl_bomb(data, size[0] * size[1] - 1)


@pytest.mark.parametrize("format", ["HEIF", "JXL", "RAW"])
def test_a_bomb_is_refused_before_it_is_decoded(format: str) -> None:
    data = raw(64, 48) if format == "RAW" else saved(Image.new("RGB", (64, 48)), format)
    assert open_image(data, max_pixels=64 * 48).size == (64, 48)
    with pytest.raises(Image.DecompressionBombError):
        open_image(data, max_pixels=64 * 48 - 1)


def test_a_raw_file_is_developed_upright() -> None:
    found = open_image(raw(64, 48, flip=6))
    assert (found.format, found.size) == ("RAW", (48, 64))
    red, green, blue = np.asarray(found, float)[8:-8, 8:-8].mean((0, 1))
    assert red > green > blue
    assert open_image(raw(64, 48, flip=6), exif=False).size == (64, 48)


def test_a_raw_file_without_its_pixels_is_truncated(tmp_path: Path) -> None:
    """As when a tool kept the tags alone: LibRaw would make a picture of what lies in memory."""
    data = raw(64, 48)
    start = 8 + 2 * 64 * 48  # of the directory, which then says what is not there
    moved = data[:4] + struct.pack("<I", 8) + data[start:]
    strip = struct.Struct("<HHII")
    stripped = moved.replace(strip.pack(273, 4, 1, 8), strip.pack(273, 4, 1, len(moved)))
    path = tmp_path / "a.dng"
    path.write_bytes(stripped)
    found = decode(ImageRef("a", "", str(path)))
    assert isinstance(found, Unreadable)
    assert found.error == "truncated raw file"


def test_a_raw_file_that_lists_too_few_tiles_is_truncated() -> None:
    data = raw(64, 48)
    entry = struct.Struct("<HHII")
    changes = ((273, 8, 324, 8), (279, 2 * 64 * 48, 325, 64), (278, 48, 323, 16), (277, 1, 322, 16))
    for old, was, new, value in changes:
        kind = 3 if old == 277 else 4
        data = data.replace(entry.pack(old, kind, 1, was), entry.pack(new, 4, 1, value))
    with pytest.raises(RefusedError, match="truncated raw file"):
        open_image(data)


@pytest.mark.parametrize(
    "start",
    [
        b"II\x1a\0\0\0HEAPCCDR",
        b"FOVb\2\0\2\0",
        b"\0MRM\0\0\x0a\x0c\0PRD",
        b"II*\0\x08\x0a\0\0IIIICwaR",
        b"MM\0*\0\0\x0a\x08MMMMRawC",
    ],
)
def test_a_raw_file_that_is_no_tiff_is_called_one(start: bytes) -> None:
    """A file of Phase One begins as TIFF does, with a picture of one pixel."""
    assert signatures.kind_of(start)
    with pytest.raises(RefusedError, match=r"(truncated|damaged) raw file"):
        open_image(start + bytes(400))


def test_what_libraw_prints_of_a_raw_file_does_not_reach_the_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    data = raw(64, 48)
    start = 8 + 2 * 64 * 48
    moved = data[:4] + struct.pack("<I", 8) + data[start:]
    entry = struct.Struct("<HHII")
    said = ((273, 8, len(moved)), (279, 2 * 64 * 48, 9))  # its pixels are 9 bytes, it says
    for tag, old, new in said:
        moved = moved.replace(entry.pack(tag, 4, 1, old), entry.pack(tag, 4, 1, new))
    with pytest.raises(RefusedError, match="truncated raw file"):
        open_image(moved + bytes(9))
    print("our own", file=sys.__stderr__, flush=True)
    assert capfd.readouterr().err == "our own\n"


def test_a_raw_file_takes_its_share_of_the_memory_for_decoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guards, "_LEAST", 0)
    with pytest.raises(Image.DecompressionBombError, match=r"to decode.*raise --max-pixels"):
        open_image(raw(64, 48), max_pixels=64 * 48)
    assert open_image(raw(64, 48), max_pixels=2 * 64 * 48).size == (64, 48)


def test_a_damaged_raw_file_is_an_error_with_a_reason() -> None:
    with pytest.raises(OSError, match=r"\w"):
        open_image(raw(64, 48)[:200] + b"II*\0")
    with pytest.raises(RefusedError, match=r"(truncated|damaged) raw file"):
        open_image(b"FUJIFILMCCD-RAW 0201" + bytes(100))


@pytest.mark.parametrize("format", ["HEIF", "JXL"])
def test_every_cut_of_a_file_is_an_error_or_an_image(format: str) -> None:
    data = saved(draw_picture(3), format)
    for length in range(0, len(data), max(1, len(data) // 40)):
        try:
            open_image(data[:length])
        except (OSError, ValueError, SyntaxError, EOFError, RuntimeError):
            continue


@contextmanager
def without_extras() -> Iterator[None]:
    """Make the extras' packages missing while the context lasts."""
    with pytest.MonkeyPatch.context() as patch:
        for package in ("pillow_heif", "pillow_jxl", "rawpy"):
            patch.setitem(sys.modules, package, None)
        for kind in ("HEIF", "JXL"):
            patch.delitem(Image.OPEN, kind, raising=False)
        opening.known_formats.cache_clear()
        yield
    opening.known_formats.cache_clear()


def test_a_missing_extra_is_named_and_the_image_tried_again(tiny: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    picture = draw_picture(3)
    for name, data in {
        "a.heic": saved(picture, "HEIF"), "b.jxl": saved(picture, "JXL"), "c.dng": raw(64, 48)
    }.items():  # fmt: skip
        (tmp_path / "in" / name).write_bytes(data)
    with without_extras():
        lines = tiny("embed", "in").err.splitlines()
    assert lines[:3] == [
        "unreadable: in/a.heic: HEIC needs pip install 'sscd-cli[heif]'",
        "unreadable: in/b.jxl: JPEG XL needs pip install 'sscd-cli[jxl]'",
        "unreadable: in/c.dng: a raw file needs pip install 'sscd-cli[raw]'",
    ]
    assert "3 images: 3 embedded" in tiny("embed", "in").err
