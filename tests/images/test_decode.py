"""Decoding: what is told of a file beside its pixels, and members of archives."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from decoding import encoded, gradient, open_image, unreadable, written
from PIL import Image

from sscd_cli.images.decode import Decoded, decode
from sscd_cli.images.preprocess import RECIPES
from sscd_cli.images.read import Limits
from sscd_cli.images.refs import FileStatus
from sscd_cli.images.resize import resize
from sscd_cli.images.sources import iter_images
from sscd_cli.images.status import stat_image


def test_width_and_height_are_of_the_upright_original(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    result = decode(written(tmp_path, encoded(gradient(40, 30), "JPEG", exif=exif)))
    assert isinstance(result, Decoded)
    assert (result.width, result.height, result.format) == (30, 40, "JPEG")
    assert result.pixels is not None
    assert result.pixels.shape == (40, 30, 3)


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
    linked = 20
    assert widths == [linked, 22, 21, 20, 20, 21, 22, linked]
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
