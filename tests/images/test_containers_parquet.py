"""Parquet files of images: rows as images, which column they are in, damaged files."""

from __future__ import annotations

import json
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Run, error_line, picture
from tables import contents, refs, written

from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.errors import SscdError
from sscd_cli.images.containers import parquet
from sscd_cli.images.read import read_bytes
from sscd_cli.images.refs import (
    MissingMemberError,
    Survey,
)
from sscd_cli.images.sources import iter_images
from sscd_cli.images.status import is_unchanged, stat_image, stored_ref

ROWS = [f"image {number}".encode() for number in range(10)]


def structs(rows: list[bytes | None]) -> pa.Array:
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    return pa.array([row and {"bytes": row, "path": "x.jpg"} for row in rows], kind)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(ROWS),
        pa.array(ROWS, pa.large_binary()),
        structs(ROWS),
        pa.array(ROWS).dictionary_encode(),
        pa.array(ROWS, pa.binary_view()),
    ],
    ids=["binary", "large", "struct", "categories", "view"],
)
def test_rows_are_images_whose_ids_are_their_numbers(tmp_path: Path, column: pa.Array) -> None:
    path = written(tmp_path / "a.parquet", {"n": range(10), "photo": column}, row_group_size=3)
    images = refs(path)
    assert [ref.id for ref in images] == [str(number) for number in range(10)]
    assert {(ref.source, ref.path) for ref in images} == {(str(path), str(path))}
    assert contents(images) == ROWS
    assert contents([stored_ref(str(path), "7")]) == [ROWS[7]]


def decoded_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of the rows of each array that is decoded from now on."""
    rows: list[int] = []
    batches = parquet.ParquetTable.batches

    def noted(self: Any, group: int, column: str) -> Any:
        for batch in batches(self, group, column):
            rows.append(len(batch))
            yield batch

    monkeypatch.setattr(parquet.ParquetTable, "batches", noted)
    return rows


def test_a_row_group_is_decoded_once_whatever_the_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [random.Random(n).randbytes(20_000) for n in range(256)]
    path = written(tmp_path / "a.parquet", {"image": values}, row_group_size=128)
    rows = decoded_rows(monkeypatch)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda ref: read_bytes(ref, 1 << 20)[0], refs(path)))
    assert found == values
    assert sum(rows) == 256


def test_a_row_that_is_kept_no_longer_is_decoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sscd_cli.images.containers.table.KEPT_BYTES", 1)
    monkeypatch.setattr("sscd_cli.images.containers.parquet.BATCH_BYTES", 1)
    path = written(tmp_path / "a.parquet", {"image": ROWS}, row_group_size=5)
    assert contents(refs(path)[::-1]) == ROWS[::-1]


def test_values_that_share_their_bytes_are_decoded_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = random.Random(0).randbytes(1_000_000)
    path = written(tmp_path / "a.parquet", {"image": [value] * 500})
    assert path.stat().st_size < 3_000_000
    rows = decoded_rows(monkeypatch)
    assert contents(refs(path)[:9]) == [value] * 9
    assert max(rows) * len(value) <= 32 << 20


def claiming(path: Path, rows: int) -> Path:
    """Write one row, and a footer that tells of more: each number 1 of rows becomes another."""
    written(path, {"image": [bytes(300_000)]}, compression="none", use_dictionary=False)
    data = path.read_bytes()
    size = int.from_bytes(data[-8:-4], "little")
    body, footer = data[: -8 - size], data[-8 - size : -8]
    number, rest = b"", 2 * rows  # as Thrift's compact protocol writes it
    while rest:
        number += bytes([rest & 127 | (128 if rest > 127 else 0)])
        rest >>= 7
    footer = footer.replace(b"\x16\x02", b"\x16" + number)
    path.write_bytes(body + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    return path


@pytest.mark.parametrize("rows", [900, 1_000_000_000])
def test_a_file_that_claims_more_rows_than_it_has_ends_where_they_do(
    tmp_path: Path, rows: int
) -> None:
    path = claiming(tmp_path / "a.parquet", rows)
    assert pq.ParquetFile(path).metadata.row_group(0).num_rows == rows
    images = iter_images([str(path)], survey=Survey())
    first = next(images)
    assert len(read_bytes(first, 1 << 20)[0]) == 300_000
    second = next(images)
    if second.fault is None:  # where it is not known before the rows are read
        with pytest.raises(OSError, match="ends"):
            read_bytes(second, 1 << 20)
        (second,) = images
    assert second.fault is not None
    assert "ends" in second.fault.reason or "nd of" in second.fault.reason


LISTS = [pa.list_, pa.large_list, lambda kind: pa.list_(kind, 2), pa.list_view, pa.large_list_view]


@pytest.mark.parametrize("list_of", LISTS)
def test_lists_of_every_kind_hold_several_images(tmp_path: Path, list_of: Any) -> None:
    column = pa.array([ROWS[:2], ROWS[2:4]], list_of(pa.binary()))
    path = written(tmp_path / "a.parquet", {"images": column})
    images = refs(path)
    assert [ref.id for ref in images] == ["0/0", "0/1", "1/0", "1/1"]
    assert contents(images) == ROWS[:4]
    parquet.rewrite_parquet(str(path), str(tmp_path / "b.parquet"), {"0/0", "1/0", "1/1"})
    assert contents(refs(tmp_path / "b.parquet")) == ROWS[1:2]


@pytest.mark.parametrize("removed", [set(), {"0"}, {"1", "2"}, {"9"}, set("0123456789")])
def test_a_table_of_views_is_rewritten_as_any_other(tmp_path: Path, removed: set[str]) -> None:
    columns = {
        "image": pa.array(ROWS, pa.binary_view()),
        "text": pa.array(list("0123456789"), pa.string_view()),
    }
    path = written(tmp_path / "a.parquet", columns, row_group_size=4)
    parquet.rewrite_parquet(str(path), str(tmp_path / "b.parquet"), removed)
    stay = [row for row in range(10) if str(row) not in removed]
    found = pq.read_table(tmp_path / "b.parquet")
    assert found.schema == pq.read_schema(path)
    assert found["text"].to_pylist() == [str(row) for row in stay]
    assert contents(refs(tmp_path / "b.parquet")) == [ROWS[row] for row in stay]


@pytest.mark.parametrize("kind", ["struct", "binary"])
def test_a_row_may_hold_several_images(tmp_path: Path, kind: str) -> None:
    lists: list[Any] = [ROWS[:2], [], ROWS[2:5], None]
    if kind == "struct":
        image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        lists = [r if r is None else [{"bytes": b, "path": "p"} for b in r] for r in lists]
    else:
        image = pa.binary()
    column = pa.array(lists, pa.list_(image))
    path = written(tmp_path / "a.parquet", {"images": column, "id": list("wxyz")})
    images = refs(path)
    assert [ref.id for ref in images] == ["0/0", "0/1", "2/0", "2/1", "2/2"]
    assert contents(images) == ROWS[:5]
    keyed = refs(path, id="id")
    assert [ref.id for ref in keyed] == ["w/0", "w/1", "y/0", "y/1", "y/2"]
    assert contents([stored_ref(ref.source, ref.id) for ref in keyed]) == ROWS[:5]
    for key in ("0/2", "1/0", "0", "0/x", "9/0"):
        with pytest.raises(MissingMemberError):
            read_bytes(stored_ref(str(path), key), 1 << 20)


def test_a_row_without_an_image_is_unreadable_and_a_missing_row_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", {"image": structs([ROWS[0], None])})
    with pytest.raises(OSError, match="the row holds no image"):
        contents(refs(path))
    for key in ("2", "-1", "x", "²", ""):
        with pytest.raises(MissingMemberError):
            stat_image(stored_ref(str(path), key))


@pytest.mark.parametrize("kind", [pa.binary(), pa.string(), pa.int64(), pa.list_(pa.string())])
def test_without_rows_there_are_no_images(tmp_path: Path, kind: pa.DataType) -> None:
    path = written(tmp_path / "a.parquet", {"image": pa.array([], kind)})
    assert refs(path) == []
    parquet.rewrite_parquet(str(path), str(tmp_path / "b.parquet"), set())
    assert pq.read_table(tmp_path / "b.parquet").equals(pq.read_table(path))


def test_the_time_of_the_file_tells_of_a_change(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", {"image": ROWS})
    os.utime(path, ns=(5, 5))
    (ref, *_) = refs(path)
    assert stat_image(ref) == (None, 5)
    assert is_unchanged(ref, len(ROWS[0]), 5)
    assert not is_unchanged(ref, len(ROWS[0]), 6)


def test_a_damaged_file_is_named_in_one_line(tmp_path: Path) -> None:
    whole = written(tmp_path / "a.parquet", {"image": ROWS}).read_bytes()
    for number, data in enumerate((b"", b"PAR1", whole[:-9], b"x" * len(whole))):
        path = tmp_path / f"{number}.parquet"
        path.write_bytes(data)
        with pytest.raises(SscdError, match=r"cannot read the archive .*; fetch or make it again"):
            refs(path)


@pytest.mark.parametrize("batch", ["1", "8"])
def test_a_damaged_page_costs_its_rows_and_no_others(tmp_path: Path, tiny: Run, batch: str) -> None:
    images = [picture(tmp_path / f"{n}.png", n).read_bytes() for n in range(4)]
    path = written(tmp_path / "a.parquet", {"image": images}, row_group_size=2, compression="gzip")
    data = bytearray(path.read_bytes())
    at = pq.ParquetFile(path).metadata.row_group(0).column(0)
    start = at.dictionary_page_offset or at.data_page_offset
    data[start + 30 : start + 90] = bytes(60)
    path.write_bytes(data)
    ran = tiny("embed", "a.parquet", "--batch-size", batch)
    assert ran.status == 0, ran.err
    assert list(read_descriptors(tmp_path / "descriptors").ids) == ["2", "3"]
    assert list(read_descriptors(tmp_path / "descriptors").unreadable.ids) == ["0", "1"]


def test_copies_in_a_parquet_file_are_reported_by_row(tmp_path: Path, tiny: Run) -> None:
    images = [picture(tmp_path / f"{n}.png", n).read_bytes() for n in (0, 1, 0, 2)]
    path = written(tmp_path / "a.parquet", {"image": structs(images)}, row_group_size=2)
    ran = tiny("embed", "a.parquet")
    assert "4 images: 3 embedded, 1 exact copy" in ran.err
    assert "4 unchanged" in tiny("embed", "a.parquet").err
    (cluster,) = [json.loads(line) for line in tiny("dedup", "-f", "jsonl").lines[1:-1]]
    assert [m["path"] for m in cluster["members"] if not m["keep"]] == ["a.parquet/2"]
    os.utime(path, ns=(5, 5))
    assert "0 unchanged" in tiny("embed", "a.parquet").err
    error = error_line(tiny("embed", "a.parquet", "--image-column", "photo"))
    assert error == f"{path} has no column photo; choose one with --image-column (image)"
