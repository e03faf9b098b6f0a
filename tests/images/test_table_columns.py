"""Which columns of a table hold images, paths of images, and keys."""

from __future__ import annotations

import base64
import os
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import MTIME, Run, picture
from pyarrow import feather
from tables import contents, refs, written

from sscd_cli.errors import UsageError
from sscd_cli.images.containers import parquet
from sscd_cli.images.refs import (
    Columns,
    join_columns,
    split_columns,
)
from sscd_cli.images.status import stored_ref

ROWS = [f"image {number}".encode() for number in range(10)]


def test_a_row_that_holds_only_a_path_is_the_file_of_that_path(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.jpg").write_bytes(b"here")
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"bytes": None, "path": path} for path in ("p/a.jpg", str(tmp_path / "p/a.jpg"), "no")]
    path = written(tmp_path / "a.parquet", {"image": pa.array(rows, image)})
    images = refs(path)
    assert contents(images[:2]) == [b"here", b"here"]
    with pytest.raises(OSError, match="the row holds only a path, no: No such file"):
        contents(images[2:])


def written_out(prefix: str, data: bytes) -> str:
    """Return an image in base64: in lines, for URLs without padding, or as it is usual."""
    if "lines" in prefix:
        return base64.encodebytes(data).decode()
    if "urls" in prefix:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")
    return prefix + base64.b64encode(data).decode()


@pytest.mark.parametrize(
    "prefix",
    ["", "lines", "urls", "data:image/png;base64,", "data:image/png;charset=utf-8;base64,"],
)
@pytest.mark.parametrize("start", [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF1234WEBP"])
@pytest.mark.parametrize("length", [0, 1, 2, 1000])
def test_images_in_base64_are_read(tmp_path: Path, prefix: str, start: bytes, length: int) -> None:
    image = start + random.Random(length).randbytes(length)
    text = written_out(prefix, image)
    columns = {"path": [{"url": text}], "list": [[text, text]], "text": [text]}
    for name, column in columns.items():
        other = ["/9j/4AAQ.txt" if name == "list" else "a dog"]
        found = refs(written(tmp_path / f"{name}.parquet", {"caption": other, "foto": column}))
        assert contents(found) == [image] * (2 if name == "list" else 1)


def test_damage_of_one_image_in_base64_costs_that_one(tmp_path: Path) -> None:
    whole = b"\xff\xd8\xff\xe0" + bytes(300)
    text = base64.b64encode(whole).decode()
    path = written(tmp_path / "a.parquet", {"image": [text, text[:-3], "", "no.jpg", text]})
    images = refs(path)
    assert contents([images[0], images[4]]) == [whole, whole]
    for ref, why in zip(images[1:4], ("base64", "holds no image", "only a path"), strict=True):
        with pytest.raises((OSError, ValueError), match=why):
            contents([ref])


PATHS = ["p/a.jpg", "p/b.jpg", "p/c.jpg"]

AS_PATHS = {
    "text": pa.array(PATHS),
    "large text": pa.array(PATHS, pa.large_string()),
    "text view": pa.array(PATHS, pa.string_view()),
    "categories": pa.array(PATHS).dictionary_encode(),
    "first is missing": pa.array([None, *PATHS]),
    "struct": pa.array([{"path": path} for path in PATHS]),
    "no bytes": pa.array([{"bytes": None, "path": path} for path in PATHS]),
    "url": pa.array([{"url": f"file://{{}}/{path}"} for path in PATHS]),
    "lists": pa.array([[], PATHS[:2], None, PATHS[2:]]),
    "lists of structs": pa.array([[{"path": path} for path in PATHS]]),
}


@pytest.mark.parametrize("kind", AS_PATHS)
def test_a_column_of_paths_is_found_whatever_its_name(tmp_path: Path, kind: str) -> None:
    (tmp_path / "p").mkdir()
    for path, data in zip(PATHS, ROWS, strict=False):
        (tmp_path / path).write_bytes(data)
    column = AS_PATHS[kind]
    if kind == "url":
        column = pa.array([{"url": one["url"].format(tmp_path)} for one in column.to_pylist()])
    other = ["a dog"] * len(column)
    images = refs(written(tmp_path / "a.parquet", {"caption": other, "foto": column}))
    assert contents(images[-3:]) == ROWS[:3]
    if kind == "first is missing":
        with pytest.raises(OSError, match="the row holds no image"):
            contents(images[:1])


def test_of_columns_of_paths_bytes_come_first_and_a_chosen_one_may_hold_anything(
    tmp_path: Path,
) -> None:
    columns = {"foto": ROWS[:1], "file_name": ["a.jpg"], "text": ["a dog"], "n": [1]}
    assert contents(refs(written(tmp_path / "a.parquet", columns))) == ROWS[:1]
    columns = {"left": ["a.jpg"], "right": ["b.jpg"], "text": ["a dog"], "n": [1]}
    path = written(tmp_path / "b.parquet", columns)
    with pytest.raises(UsageError, match=r"several columns .* --image-column \(left, right\)"):
        refs(path)
    (tmp_path / "a dog").write_bytes(ROWS[0])
    assert contents(refs(path, image="text")) == ROWS[:1]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"text": ["a dog"], "n": [1]}, "choose one with --image-column (text)"),
        ({"n": [1], "m": [2]}, "name a table with images, or with their paths"),
    ],
)
def test_only_columns_that_can_be_read_are_offered(
    tmp_path: Path, columns: dict[str, Any], said: str
) -> None:
    path = written(tmp_path / "a.parquet", columns)
    for chosen in ("", "n"):
        with pytest.raises(UsageError) as caught:
            refs(path, image=chosen)
        assert str(caught.value).endswith(f"; {said}")


def test_keys_come_from_a_chosen_column_and_lead_back(tmp_path: Path) -> None:
    keys = [f"k/{number}" for number in range(10)]
    path = written(tmp_path / "a.parquet", {"image": ROWS, "key": keys}, row_group_size=4)
    images = refs(path, id="key")
    assert [ref.id for ref in images] == keys
    assert {ref.source for ref in images} == {f"{path}#id=key"}
    assert contents([stored_ref(ref.source, ref.id) for ref in images]) == ROWS
    assert refs(f"{path}#id=key") == images


@pytest.mark.parametrize("keys", [[1, 1], [1, None]])
def test_a_key_must_name_one_row(tmp_path: Path, keys: list[int | None]) -> None:
    path = written(tmp_path / "a.parquet", {"image": ROWS[:2], "key": keys})
    with pytest.raises(UsageError, match="repeats a value or lacks one; choose another --id-col"):
        refs(path, id="key")
    with pytest.raises(UsageError, match=r"has no column nokey; .* \(image, key\)"):
        refs(path, id="nokey")


def test_the_column_of_images_is_found_or_chosen(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", {"a": ROWS, "b b": ROWS[::-1], "n": range(10)})
    with pytest.raises(UsageError) as caught:
        refs(path)
    assert str(caught.value) == (
        f"{path} has several columns with images; choose one with --image-column (a, b b)"
    )
    images = refs(path, image="b b")
    assert contents(images) == ROWS[::-1]
    assert contents([stored_ref(images[0].source, "0")]) == ROWS[-1:]
    for column, what in (("n", "column n of .* holds no images"), ("x", "has no column x")):
        with pytest.raises(UsageError, match=what):
            refs(path, image=column)
    usual = written(tmp_path / "b.parquet", {"mask": ROWS[::-1], "image": ROWS})
    assert contents(refs(usual)) == ROWS
    with pytest.raises(UsageError, match="has no column with images"):
        refs(written(tmp_path / "c.parquet", {"n": [1]}))


def test_columns_survive_in_a_source(tmp_path: Path) -> None:
    for columns in (Columns("a b", "k&=#"), Columns("", "k"), Columns()):
        assert split_columns(join_columns("/x#y.parquet", columns)) == ("/x#y.parquet", columns)
    odd = written(tmp_path / "a#id=b.parquet", {"image": ROWS})
    assert contents(refs(odd)) == ROWS


STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
NAMED = ["p/a.png", "p/b.png", "p/c.png"]
AS_NAMES = {
    "text": pa.array(NAMED),
    "no bytes": pa.array([{"bytes": None, "path": name} for name in NAMED], STRUCT),
    "lists": pa.array([NAMED[:2], NAMED[2:]]),
    "url": pa.array([{"url": name} for name in NAMED]),
}


@pytest.mark.parametrize("kind", AS_NAMES)
@pytest.mark.parametrize("name", ["a.parquet", "a.feather"])
def test_a_rerun_notices_a_change_of_a_file_that_a_row_names(
    tiny: Run, tmp_path: Path, kind: str, name: str
) -> None:
    for seed, image in zip((0, 1, 0), NAMED, strict=True):
        os.utime(picture(tmp_path / image, seed), (MTIME, MTIME))
    table = pa.table({"image": AS_NAMES[kind]})
    write = pq.write_table if name == "a.parquet" else feather.write_feather
    write(table, tmp_path / name)
    assert "3 images: 2 embedded, 1 exact copy" in tiny("embed", name).err
    os.utime(tmp_path / name, (MTIME, MTIME))
    assert "3 unchanged" in tiny("embed", name).err, "only the table was copied"
    picture(tmp_path / "p" / "b.png", 7)
    assert "1 embedded, 0 exact copies, 0 unreadable, 2 unchanged" in tiny("embed", name).err
    assert "1 cluster" in tiny("dedup").err
    picture(tmp_path / "p" / "c.png", 8)
    ran = tiny("dedup")
    assert "0 clusters" in ran.err
    assert "left out 1 image that vanished or changed" in ran.err
    (tmp_path / "p" / "c.png").unlink()
    assert "1 unreadable, 2 unchanged" in tiny("embed", name).err


def test_a_text_that_many_rows_share_is_in_memory_once(tmp_path: Path) -> None:
    text = "x" * (1 << 20) + ".png"
    path = written(tmp_path / "a.parquet", {"image": [text] * 50})
    table = parquet.ParquetTable(str(path))
    before = pa.total_allocated_bytes()
    (rows,) = table.batches(0, "image")
    assert len(rows) == 50
    assert pa.total_allocated_bytes() - before < 8 << 20
