"""Decoding: every failure is a value with a reason, and limits hold."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Lock
from time import sleep

import numpy as np
import pytest
from decoding import encoded, gradient, ref_to, unreadable, written
from PIL import Image

from sscd_cli.images import colours, guards, opening
from sscd_cli.images.decode import Decoded, decode
from sscd_cli.images.formats import register
from sscd_cli.images.preprocess import RECIPES
from sscd_cli.images.read import Limits, Unreadable, hash_bytes
from sscd_cli.images.reasons import REASON_CHARACTERS
from sscd_cli.images.sources import iter_images

STEPS = ("sscd_cli.images.decode.open_picture", "sscd_cli.images.read.read_bytes")


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
        (b"Rar!\x1a\x07\x01\0" + bytes(99), "a RAR archive, which is not read"),
        (
            b"PK\3\4" + bytes(99),
            "a zip archive of another name than .zip or .cbz, which is not read",
        ),
        (b"\0\0\0\x20ftypisom" + bytes(99), "a video, which is not read"),
        (b"\n<!DOCTYPE HTML>\n<html>404</html>", "a web page, which is not read"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            "a PostScript file, which is not read",
        ),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a drawing in SVG, which is not read"),
        (b"\n<?xml version='1.0'?>\n<!-- made -->\n<svg/>", "a drawing in SVG, which is not read"),
        (b"<?xml version='1.0'?><annotation/>", "not an image in a known format"),
        (b"\x93NUMPY" + bytes(99), "a NumPy array, which is not read"),
        (bytes(128) + b"DICM" + bytes(99), "a DICOM file, which is not read"),
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
        assert "more than the limit of 200000000 pixels; raise --max-pixels" in result.error


def test_pixel_limit_is_exact_and_silent(tmp_path: Path) -> None:
    ref = written(tmp_path, encoded(gradient(40, 30)))
    assert isinstance(decode(ref, limits=Limits(pixels=1200)), Decoded)
    result = unreadable(ref, limits=Limits(pixels=1199))
    assert result.error == (
        "40 x 30 pixels are more than the limit of 1199; raise --max-pixels to read it"
    )


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
    assert unreadable(ref_to("nul\0.jpg")).error == "a null byte in its name"


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
    [KeyError(5), SyntaxError("bad"), RuntimeError(), TypeError("a\nb" * 500)],
    ids=lambda error: type(error).__name__,
)
def test_any_exception_becomes_a_one_line_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(STEPS[0], fail)
    result = unreadable(written(tmp_path, b"x"))
    assert 0 < len(result.error) <= REASON_CHARACTERS


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", [MemoryError(), OSError(24, "Too many open files")], ids=str)
def test_what_the_machine_lacks_is_no_fault_of_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, step: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(step, fail)
    with pytest.raises(type(error)):
        decode(written(tmp_path, b"x"))


KINDS = {
    "JPEG": "JPEG", "PNG": "PNG", "GIF": "GIF", "TIFF": "TIFF", "WEBP": "WebP", "BMP": "BMP",
    "AVIF": "AVIF", "HEIF": "HEIC", "JXL": "JPEG XL", "JPEG2000": "JPEG 2000",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_beginning_with_a_bad_rest_is_damaged_or_truncated(
    kind: str, tmp_path: Path
) -> None:
    register()
    if kind not in Image.SAVE:
        pytest.skip("no package for it is here")
    data = encoded(gradient(300, 200), kind)
    for part in (data[: len(data) // 2], data[:40], data[:40] + bytes(400)):
        result = decode(written(tmp_path, part), RECIPES["mini-160"])
        if isinstance(result, Unreadable):  # some codecs read what there is
            assert result.error in {f"damaged {KINDS[kind]}", f"truncated {KINDS[kind]}"}
            assert result.content_hash is not None, "or it would be tried again in every run"
    assert isinstance(result, Unreadable)


def test_a_pointer_of_git_lfs_is_called_that(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"
    said = unreadable(written(tmp_path, pointer)).error
    assert said == "a Git LFS pointer, not the file itself; run git lfs pull"


def test_the_limit_on_pixels_names_its_option(tmp_path: Path) -> None:
    found = unreadable(written(tmp_path, encoded(gradient())), limits=Limits(pixels=10))
    assert "--max-pixels" in found.error


def test_a_jpeg_of_thousands_of_scans_is_refused_at_once(tmp_path: Path) -> None:
    data = encoded(gradient(), "JPEG", progressive=True)
    start, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    many = data[:end] + data[start:end] * 3000 + data[end:]
    assert "scans" in unreadable(written(tmp_path, many)).error
    assert isinstance(decode(written(tmp_path, data)), Decoded)


def chunk(kind: bytes, body: bytes, crc: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


REMARKS = {
    "a profile of 2 MB": chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2_000_000))),
    "a text of 2 MB": chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(2_000_000))),
    "a text with a wrong checksum": chunk(b"tEXt", b"Comment\0hello", crc=1),
    "a time with a wrong checksum": chunk(b"tIME", bytes(7), crc=1),
    "a resolution of one byte": chunk(b"pHYs", b"x"),
    "an unknown chunk with a wrong checksum": chunk(b"prVt", b"x", crc=1),
}


@pytest.mark.parametrize("place", ["before the pixels", "behind them"])
@pytest.mark.parametrize("name", REMARKS)
def test_what_nobody_sees_loses_no_picture(name: str, place: str, tmp_path: Path) -> None:
    data = encoded(gradient())
    at = 33 if place == "before the pixels" else len(data) - 12
    result = decode(written(tmp_path, data[:at] + REMARKS[name] + data[at:]))
    assert isinstance(result, Decoded)
    assert result.pixels is not None
    assert (result.pixels == np.asarray(gradient())).all()


def said_in_a_text() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    words = f"\nexif\n{len(exif.tobytes()):8}\n{exif.tobytes().hex()}\n"
    return chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(words.encode()))


def said_in_xmp() -> bytes:
    words = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    return chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + words)


@pytest.mark.parametrize("said", [said_in_a_text(), said_in_xmp()], ids=["text", "xmp"])
@pytest.mark.parametrize("name", REMARKS)
def test_what_nobody_sees_turns_no_picture(name: str, said: bytes, tmp_path: Path) -> None:
    data = encoded(gradient())
    result = decode(written(tmp_path, data[:33] + said + REMARKS[name] + data[33:]))
    assert isinstance(result, Decoded)
    assert (result.pixels == np.rot90(np.asarray(gradient()), -1)).all()


def test_a_damaged_member_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise zipfile.BadZipFile("Bad CRC-32 for file 'a.jpg'")

    monkeypatch.setattr(STEPS[1], fail)
    assert unreadable(written(tmp_path, b"x")).error == "Bad CRC-32 for file 'a.jpg'"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("step", STEPS)
def test_interrupts_pass_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], step: str
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(step, interrupt)
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


def test_what_a_codec_needs_too_much_memory_for_is_unreadable_until_the_limit_rises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "_LEAST", 1000)
    ref = written(tmp_path, encoded(gradient(64, 64), "JPEG2000"))
    found = unreadable(ref, limits=Limits(pixels=64 * 64))
    assert (
        found.error == "takes about 78 kB to decode, more than 33 kB; raise --max-pixels to read it"
    )
    assert found.content_hash is None
    assert isinstance(decode(ref, limits=Limits(pixels=64 * 64 * 3)), Decoded)


def test_threads_share_the_memory_for_decoding() -> None:
    shared, most, now, lock = guards.Budget(), 0, 0, Lock()

    def work(_: int) -> None:
        nonlocal most, now
        with shared.taken(6 << 26, 1 << 26):  # 6 of the 8 bytes that each pixel has
            with lock:
                now += 1
                most = max(most, now)
            sleep(0.01)
            with lock:
                now -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert most == 1


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I", "F"])
def test_a_large_image_is_shrunk_in_strips_to_the_same_pixels(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = gradient(900, 700)
    image = image.convert("L").convert(mode) if mode in "IF" else image.convert(mode)
    ref = written(tmp_path, encoded(image, "TIFF"))
    recipe = replace(RECIPES["mini-160"], decode="fast")
    whole = decode(ref, recipe)
    monkeypatch.setattr(opening, "LARGE", 1000)
    monkeypatch.setattr(colours, "STRIP_PIXELS", 9000)
    strips = decode(ref, recipe)
    assert isinstance(whole, Decoded)
    assert isinstance(strips, Decoded)
    assert (strips.width, strips.height) == (900, 700)
    assert np.array_equal(whole.pixels, strips.pixels)  # type: ignore[arg-type]
