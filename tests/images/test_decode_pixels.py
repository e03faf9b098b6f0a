"""Decoding: every format and mode becomes the right RGB pixels, upright and opaque."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from decoding import encoded, gradient, open_image, pixels, ref_to, unreadable, written
from PIL import Image, ImageOps

from sscd_cli.images.decode import Decoded, decode
from sscd_cli.images.read import hash_bytes

ODD = Path(__file__).parents[3] / "shared" / "data" / "odd"
PNGSUITE = sorted((ODD / "pngsuite" / "png").glob("*.png"))
# Pillow does not check the checksum of the pixels, which is all that is wrong with xcsn0g01
DAMAGED = [path for path in PNGSUITE if path.name[0] == "x" and path.stem != "xcsn0g01"]
SOUND = [path for path in PNGSUITE if not path.name.startswith("x")]
needs_odd = pytest.mark.skipif(not PNGSUITE, reason="the odd images are not here")


# An independent PNG reader, from the specification: not interlaced, alpha over white.


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def unfiltered(raw: bytes, height: int, stride: int, step: int) -> np.ndarray:
    rows = np.zeros((height + 1, stride + step), dtype=int)
    for y in range(height):
        kind, *line = raw[y * (stride + 1) : (y + 1) * (stride + 1)]
        for x, value in enumerate(line, start=step):
            left, up, corner = rows[y + 1, x - step], rows[y, x], rows[y, x - step]
            near = left + up - corner
            paeth = min((left, up, corner), key=lambda v: abs(near - v))
            guess = (0, left, up, (left + up) // 2, paeth)[kind]
            rows[y + 1, x] = (value + guess) % 256
    return rows[1:, step:].astype(np.uint8)


def png_over_white(data: bytes) -> np.ndarray:
    """Decode a PNG to RGB over white, float, (H, W, 3)."""
    found = dict(chunks(data))
    idat = b"".join(body for name, body in chunks(data) if name == b"IDAT")
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", found[b"IHDR"])
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    stride = (width * depth * channels + 7) // 8
    step = max(1, depth * channels // 8)
    rows = unfiltered(zlib.decompress(idat), height, stride, step)
    if depth == 16:
        samples = rows.reshape(height, -1, 2).astype(int) @ [256, 1]
    else:
        bits = np.unpackbits(rows, axis=1)
        bits = bits[:, : bits.shape[1] // depth * depth].reshape(height, -1, depth)
        samples = bits.astype(int) @ (1 << np.arange(depth)[::-1])
    samples = samples[:, : width * channels].reshape(height, width, channels)
    transparency = found.get(b"tRNS", b"")
    if colour == 3:
        palette = np.frombuffer(found[b"PLTE"], np.uint8).reshape(-1, 3)
        alphas = np.full(256, 255)
        alphas[: len(transparency)] = list(transparency)
        rgb, alpha = palette[samples[..., 0]] / 255, alphas[samples] / 255
    else:
        values = samples / (2**depth - 1)
        has_alpha = colour in (4, 6)
        rgb = values[..., :-1] if has_alpha else values
        alpha = values[..., -1:] if has_alpha else np.ones((height, width, 1))
        if transparency:
            key = np.frombuffer(transparency, ">u2")
            alpha = 1.0 - (samples == key).all(axis=-1, keepdims=True)
    return np.broadcast_to(255 * (rgb * alpha + 1 - alpha), (height, width, 3))


@needs_odd
@pytest.mark.parametrize("path", SOUND, ids=lambda path: path.stem)
def test_pngsuite_matches_a_reader_written_from_the_specification(path: Path) -> None:
    twin = path
    if path.stem[3] == "i":  # interlaced; the same picture is there without
        twin = path.with_name((path.name[:3] + "n" + path.name[4:]).replace("bgan4", "basn4"))
    difference = np.abs(pixels(path.read_bytes()) - png_over_white(twin.read_bytes()))
    assert difference.max() <= 1.5  # 16 bits are truncated to 8, as Pillow does with colours


@needs_odd
@pytest.mark.parametrize("path", DAMAGED, ids=lambda path: path.stem)
def test_damaged_pngs_are_listed_not_fatal(path: Path) -> None:
    result = unreadable(ref_to(path))
    assert result.error
    assert result.content_hash == hash_bytes(path.read_bytes())


@needs_odd
@pytest.mark.parametrize("name", ["Landscape", "Portrait"])
def test_exif_variants_look_alike(name: str) -> None:
    files = [ODD / "exif-orientation" / f"{name}_{i}.jpg" for i in range(1, 9)]
    images = [open_image(path.read_bytes()) for path in files]
    assert len({image.size for image in images}) == 1
    small = [np.asarray(image.resize((40, 40))).astype(int) for image in images]
    for variant in small:  # each has been through JPEG compression by itself
        assert np.abs(variant - small[0]).mean() < 1.5
    assert min(np.abs(small[0] - turned).mean() for turned in wrong_ways(small[0])) > 15


def wrong_ways(pixels_HWC: np.ndarray) -> list[np.ndarray]:
    turns = [np.rot90(pixels_HWC, quarter) for quarter in range(4)]
    return [*turns[1:], *(turn[::-1] for turn in turns)]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(gradient(), "PNG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(pixels(data), np.asarray(expected))
    assert np.array_equal(pixels(data, exif=False), np.asarray(gradient()))


@pytest.mark.parametrize(
    "junk", [b"Exif\0\0MM\0*junk", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff"]
)
def test_damaged_exif_does_not_lose_the_image(junk: bytes) -> None:
    data = encoded(gradient(), "JPEG", exif=junk)
    assert pixels(data).shape == (30, 40, 3)


def with_alpha(mode: str) -> Image.Image:
    image = gradient().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image.convert(mode)


@pytest.mark.parametrize(("mode", "kind"), [("RGBA", "PNG"), ("LA", "PNG"), ("RGBA", "TIFF")])
def test_alpha_lies_over_white(mode: str, kind: str) -> None:
    image = with_alpha(mode)
    rgba = np.asarray(image.convert("RGBA")).astype(float)
    alpha = rgba[..., 3:] / 255
    expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(pixels(encoded(image, kind)) - expected).max() <= 1


def test_transparent_palette_and_grey_lie_over_white() -> None:
    palette = Image.new("P", (4, 2), 1)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putpixel((0, 0), 0)
    for kind in ("PNG", "GIF"):
        got = pixels(encoded(palette, kind, transparency=0))
        assert got[0, 0].tolist() == [255] * 3
        assert got[1, 1].tolist() == [0, 0, 255]
    grey = Image.new("L", (4, 2), 7)
    assert (pixels(encoded(grey, "PNG", transparency=7)) == 255).all()


def test_opaque_pixels_keep_their_colour_exactly() -> None:
    image = gradient().convert("RGBA")
    assert np.array_equal(pixels(encoded(image)), np.asarray(gradient()))


def test_cmyk_and_ycck_jpegs_are_not_inverted() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for kind in ("JPEG", "TIFF"):
        assert np.abs(pixels(encoded(red, kind)) - [255, 0, 0]).max() <= 3


def test_one_bit_is_black_and_white() -> None:
    image = Image.new("1", (8, 8), 0)
    image.putpixel((3, 4), 1)
    got = pixels(encoded(image))
    assert got[4, 3].tolist() == [255] * 3
    assert got.sum() == 3 * 255


def grey_file(values: np.ndarray, kind: str = "TIFF") -> bytes:
    return encoded(Image.fromarray(values), kind)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 255, 32768, 65535]], dtype="<u2"), [0, 1, 128, 255]),
        (np.array([[0, 7, 255]], dtype=np.int32), [0, 7, 255]),
        (np.array([[0, 257, 65535]], dtype=np.int32), [0, 1, 255]),
        (np.array([[-51, 0, 204]], dtype=np.int32), [0, 51, 255]),
        (np.array([[0, 1_000_000]], dtype=np.int32), [0, 255]),
        (np.array([[5_000, 5_000]], dtype=np.float32), [0, 0]),
        (np.array([[0.0, 0.5, 1.0]], dtype=np.float32), [0, 128, 255]),
        (np.array([[0.0, 20.4, 255.0]], dtype=np.float32), [0, 20, 255]),
        (np.array([[-1.0, 0.0, 4.0]], dtype=np.float32), [0, 51, 255]),
        (np.array([[np.nan, np.inf, 1.0]], dtype=np.float32), [0, 0, 255]),
    ],
)
def test_deep_and_float_grey_is_scaled_not_clipped(values: np.ndarray, expected: list[int]) -> None:
    got = pixels(grey_file(values))
    assert got[0].tolist() == [[value] * 3 for value in expected]


def test_sixteen_bit_pgm_and_big_endian_tiff_are_scaled() -> None:
    pgm = b"P5\n3 1\n65535\n" + struct.pack(">3H", 0, 0x8000, 0xFFFF)
    assert pixels(pgm)[0, :, 0].tolist() == [0, 128, 255]
    tags = [(256, 3, 2), (257, 3, 1), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 0),
            (277, 3, 1), (278, 3, 1), (279, 4, 4)]  # fmt: skip
    offset = 8 + 2 + 12 * len(tags) + 4
    body = b"".join(
        struct.pack(">HHI", tag, kind, 1)
        + (struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value or offset))
        for tag, kind, value in tags
    )
    tiff = struct.pack(">2sHIH", b"MM", 42, 8, len(tags)) + body + bytes(4)
    assert pixels(tiff + struct.pack(">2H", 0x4000, 0xFFFF))[0, :, 0].tolist() == [64, 255]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_of_an_animation_counts(kind: str) -> None:
    red, blue = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(red, kind, save_all=True, append_images=[blue], **options)
    assert np.abs(pixels(data) - [255, 0, 0]).max() <= 1


@pytest.mark.parametrize(
    "kind", ["BMP", "WEBP", "JPEG2000", "PPM", "TGA", "ICO", "PCX", "SGI", "QOI", "DDS", "AVIF"]
)
def test_common_formats_are_read(kind: str, tmp_path: Path) -> None:
    try:
        data = encoded(gradient(32, 32), kind)
    except (OSError, KeyError):
        pytest.skip(f"this Pillow cannot write {kind}")
    result = decode(written(tmp_path, data))
    assert isinstance(result, Decoded)
    assert result.format == kind
    assert result.pixels is not None
    assert np.abs(result.pixels.astype(int) - np.asarray(gradient(32, 32))).mean() < 4


def test_icc_profiles_are_left_alone() -> None:
    data = encoded(gradient(), icc_profile=b"not even a profile")
    assert np.array_equal(pixels(data), np.asarray(gradient()))
