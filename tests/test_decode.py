"""Decoding: every mode becomes correct RGB, every failure a value with a reason."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from sscd_cli.images import decode as decoding
from sscd_cli.images.decode import (
    Copied,
    Decoded,
    Limits,
    Unreadable,
    decode,
    hash_bytes,
    open_image,
)
from sscd_cli.images.preprocess import RECIPES, resize
from sscd_cli.images.read import stat_image
from sscd_cli.images.refs import FileStatus, ImageRef
from sscd_cli.images.sources import iter_images

ODD = Path(__file__).parents[2] / "shared" / "data" / "odd"
PNGSUITE = sorted((ODD / "pngsuite" / "png").glob("*.png"))
# Pillow does not check the checksum of the pixels, which is all that is wrong with xcsn0g01
DAMAGED = [path for path in PNGSUITE if path.name[0] == "x" and path.stem != "xcsn0g01"]
SOUND = [path for path in PNGSUITE if not path.name.startswith("x")]
needs_odd = pytest.mark.skipif(not PNGSUITE, reason="the odd images are not here")


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(width: int = 40, height: int = 30) -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, 255 - across], axis=-1).astype(np.uint8))


def pixels(data: bytes, **options: bool) -> np.ndarray:
    image = open_image(data, **options)  # type: ignore[arg-type]
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def ref_to(path: Path | str) -> ImageRef:
    return ImageRef("key", "", os.fspath(path))


def written(tmp_path: Path, data: bytes, name: str = "image.jpg") -> ImageRef:
    path = tmp_path / name
    path.write_bytes(data)
    return ref_to(path)


def unreadable(ref: ImageRef, **options: Limits) -> Unreadable:
    result = decode(ref, RECIPES["mini-160"], **options)
    assert isinstance(result, Unreadable)
    assert "\n" not in result.error
    return result


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


def test_width_and_height_are_of_the_upright_original(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    result = decode(written(tmp_path, encoded(gradient(40, 30), "JPEG", exif=exif)))
    assert isinstance(result, Decoded)
    assert (result.width, result.height, result.format) == (30, 40, "JPEG")
    assert result.pixels is not None
    assert result.pixels.shape == (40, 30, 3)


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
        (np.array([[0, 255, 32768, 65535]], dtype="<u2"), [0, 0, 128, 255]),
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


def test_recipe_resizes_what_was_decoded(tmp_path: Path) -> None:
    data = encoded(gradient(300, 200))
    result = decode(written(tmp_path, data), RECIPES["skew-320"])
    assert isinstance(result, Decoded)
    expected = resize(open_image(data), RECIPES["skew-320"])
    assert np.array_equal(result.pixels, expected)  # type: ignore[arg-type]
    assert (result.width, result.height) == (300, 200)


def test_facts_of_the_file_travel_along(tmp_path: Path) -> None:
    data = encoded(gradient())
    ref = written(tmp_path, data)
    os.utime(ref.path, ns=(1, 1_234_567_891))
    result = decode(ref)
    assert isinstance(result, Decoded)
    assert (result.file_bytes, result.mtime_ns) == (len(data), 1_234_567_891)
    assert result.content_hash == hashlib.blake2b(data, digest_size=16).digest()
    assert stat_image(ref) == FileStatus(len(data), 1_234_567_891)


def test_known_bytes_are_not_decoded(tmp_path: Path) -> None:
    ref = written(tmp_path, b"not decoded, so it does not matter")
    asked: list[bytes] = []
    result = decode(ref, known=lambda key: not asked.append(key))
    assert isinstance(result, Copied)
    assert asked == [result.content_hash]
    assert isinstance(decode(ref, known=lambda _: False), Unreadable)


def test_truncated_jpeg_is_listed_not_fatal(tmp_path: Path) -> None:
    data = encoded(gradient(200, 200), "JPEG")
    result = unreadable(written(tmp_path, data[: len(data) // 2]))
    assert "truncated" in result.error
    assert result.file_bytes == len(data) // 2
    assert result.content_hash == hash_bytes(data[: len(data) // 2])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"])
def test_any_truncation_is_survived(kind: str, tmp_path: Path) -> None:
    data = encoded(gradient(), kind)
    for cut in range(0, len(data), max(1, len(data) // 30)):
        result = decode(written(tmp_path, data[:cut]))
        assert isinstance(result, Unreadable | Decoded)
        assert isinstance(result, Unreadable) or cut > len(data) * 0.8


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"])
def test_damaged_bytes_are_survived(kind: str, tmp_path: Path) -> None:
    data = encoded(gradient(), kind)
    for at in range(0, len(data), max(1, len(data) // 60)):
        damaged = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        assert isinstance(decode(written(tmp_path, damaged)), Unreadable | Decoded)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"only text\n" * 50, "not an image in a known format"),
        (bytes(1000), "not an image in a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image in a known format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image in a known format"),
    ],
)
def test_what_is_no_image_says_so(tmp_path: Path, data: bytes, reason: str) -> None:
    assert unreadable(written(tmp_path, data)).error == reason


def png_header(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    idat = b"IDAT" + zlib.compress(bytes(1000))
    body = b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c))
        for c in (head, idat, b"IEND")
    )
    return b"\x89PNG\r\n\x1a\n" + body


def test_pixel_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    for width, height in [(20_000, 20_000), (10_000, 20_001)]:
        result = unreadable(written(tmp_path, png_header(width, height)))
        assert f"{width * height} pixels) exceeds limit of 200000000 pixels" in result.error


def test_pixel_limit_is_exact_and_silent(tmp_path: Path) -> None:
    ref = written(tmp_path, encoded(gradient(40, 30)))
    assert isinstance(decode(ref, limits=Limits(pixels=1200)), Decoded)
    result = unreadable(ref, limits=Limits(pixels=1199))
    assert result.error == "40 x 30 pixels are more than the limit of 1199"


def test_pillows_own_limit_is_put_back(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    decode(written(tmp_path, encoded(gradient())), limits=Limits(pixels=5))
    decode(written(tmp_path, encoded(gradient())))
    assert before == Image.MAX_IMAGE_PIXELS


def test_file_above_the_size_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    result = unreadable(ref_to(path))
    assert result.error == f"{1 << 40} bytes are more than the limit of {512 << 20}"
    assert (result.file_bytes, result.content_hash) == (1 << 40, None)


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert unreadable(ref_to(tmp_path / "pipe.jpg")).error == "not a regular file"
    assert unreadable(ref_to("/dev/zero")).error == "not a regular file"
    assert unreadable(ref_to(tmp_path)).error == "a folder, not a file"
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    assert "symbolic links" in unreadable(ref_to(tmp_path / "loop.jpg")).error
    assert "null byte" in unreadable(ref_to("nul\0.jpg")).error


def test_reading_folders_and_pipes_leaks_no_descriptors(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0  # noqa: PTH208
    for _ in range(20):
        unreadable(ref_to(tmp_path))
        unreadable(ref_to(tmp_path / "pipe.jpg"))
    after = len(os.listdir("/proc/self/fd")) if before else 0  # noqa: PTH208
    assert after == before


def test_file_that_vanishes_after_listing_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (ref,) = iter_images([str(tmp_path)])
    (tmp_path / "a.jpg").unlink()
    result = unreadable(ref)
    assert result.error == "No such file or directory"
    assert (result.ref, result.file_bytes, result.mtime_ns) == (ref, None, None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_listed(tmp_path: Path) -> None:
    ref = written(tmp_path, b"x")
    Path(ref.path).chmod(0)
    assert unreadable(ref).error == "Permission denied"


def test_file_that_changes_while_it_is_read_is_not_half_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = written(tmp_path, encoded(gradient()))
    fstat = os.fstat

    def growing(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        with Path(ref.path).open("ab") as file:
            file.write(b"more")
        return status

    monkeypatch.setattr(os, "fstat", growing)
    assert unreadable(ref).error == "the file changed while it was read"


@pytest.mark.parametrize(
    "error",
    [KeyError(5), SyntaxError("bad"), RuntimeError(), MemoryError(), TypeError("a\nb" * 500)],
    ids=lambda error: type(error).__name__,
)
def test_any_exception_becomes_a_one_line_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(decoding, "_open", fail)
    result = unreadable(written(tmp_path, b"x"))
    assert 0 < len(result.error) <= decoding.REASON_CHARACTERS


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("step", ["_open", "read_bytes"])
def test_interrupts_pass_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], step: str
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(decoding, step, interrupt)
    with pytest.raises(error):
        decode(written(tmp_path, b"x"))


def test_pillow_leaks_nothing_to_stderr(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    tiff = encoded(gradient(), "TIFF")
    for data in (
        encoded(gradient(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09junk"),
        tiff.replace(struct.pack("<HHI", 277, 3, 1), struct.pack("<HHIH", 277, 3, 1, 99)[:8]),
        tiff[:-50] + bytes(50),
        png_header(20_000, 9_900),
    ):
        decode(written(tmp_path, data))
    assert capfd.readouterr() == ("", "")


# Members of archives


@pytest.fixture(params=["a.tar", "a.tar.gz"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for i in range(3):
            data = encoded(Image.new("RGB", (20 + i, 20)), "JPEG")
            member = tarfile.TarInfo(f"d/{i}.jpg")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "d/0.jpg"
        tar.addfile(link)
    return path


def test_members_are_decoded_in_any_order(archive: Path) -> None:
    refs = list(iter_images([str(archive)]))
    results = [decode(ref) for ref in (*refs[::-1], *refs)]
    widths = [r.width if isinstance(r, Decoded) else r.error for r in results]
    bad = "not a regular file in the archive"
    assert widths == [bad, 22, 21, 20, 20, 21, 22, bad]
    mtime_ns = archive.stat().st_mtime_ns
    assert {r.mtime_ns for r in results if isinstance(r, Decoded)} == {mtime_ns}
    first = results[3]
    assert isinstance(first, Decoded)
    assert stat_image(refs[0]) == FileStatus(first.file_bytes, mtime_ns)


def test_member_above_the_size_limit_is_not_read(archive: Path) -> None:
    ref = next(iter_images([str(archive)]))
    assert (
        "bytes are more than the limit of 9" in unreadable(ref, limits=Limits(file_bytes=9)).error
    )


def test_archive_that_vanishes_or_is_replaced_is_noticed(archive: Path) -> None:
    ref = next(iter_images([str(archive)]))
    assert isinstance(decode(ref), Decoded)
    archive.write_bytes(gzip.compress(b"no archive"))
    os.utime(archive, ns=(0, 0))
    assert unreadable(ref).error
    archive.unlink()
    assert unreadable(ref).error == "No such file or directory"
