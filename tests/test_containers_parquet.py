"""Parquet files of images: rows as images, which column they are in, damaged files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Run, error_line, picture

from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.errors import SscdError, UsageError
from sscd_cli.images.columns import Columns, join_columns, split_columns
from sscd_cli.images.containers import parquet
from sscd_cli.images.read import is_unchanged, read_bytes, stat_image, stored_ref
from sscd_cli.images.refs import ImageRef, MissingMemberError
from sscd_cli.images.sources import iter_images

ROWS = [f"image {number}".encode() for number in range(10)]


def written(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def structs(rows: list[bytes | None]) -> pa.Array:
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    return pa.array([row and {"bytes": row, "path": "x.jpg"} for row in rows], kind)


def refs(source: object, **columns: str) -> list[ImageRef]:
    return list(iter_images([str(source)], columns=Columns(**columns)))


def contents(images: list[ImageRef]) -> list[bytes]:
    return [read_bytes(ref, 1 << 20)[0] for ref in images]


@pytest.mark.parametrize(
    "column",
    [pa.array(ROWS), pa.array(ROWS, pa.large_binary()), structs(ROWS)],
    ids=["binary", "large", "struct"],
)
def test_rows_are_images_whose_ids_are_their_numbers(tmp_path: Path, column: pa.Array) -> None:
    path = written(tmp_path / "a.parquet", {"n": range(10), "photo": column}, row_group_size=3)
    images = refs(path)
    assert [ref.id for ref in images] == [str(number) for number in range(10)]
    assert {(ref.source, ref.path) for ref in images} == {(str(path), str(path))}
    assert contents(images) == ROWS
    assert contents([stored_ref(str(path), "7")]) == [ROWS[7]]


def test_reading_keeps_two_row_groups_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.parquet", {"image": ROWS}, row_group_size=2)
    loaded: list[int] = []
    load = parquet.ParquetContainer.images

    def noted(self: Any, group: int) -> Any:
        loaded.append(group)
        return load(self, group)

    monkeypatch.setattr(parquet.ParquetContainer, "images", noted)
    parquet._images.cache_clear()
    contents(refs(path))
    assert loaded == [0, 1, 2, 3, 4]
    assert parquet._images.cache_info().currsize == 2


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


def test_a_row_without_an_image_is_unreadable_and_a_missing_row_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", {"image": structs([ROWS[0], None])})
    with pytest.raises(OSError, match="the row holds no image"):
        contents(refs(path))
    for key in ("2", "-1", "x", "²", ""):
        with pytest.raises(MissingMemberError):
            stat_image(stored_ref(str(path), key))


def test_without_rows_there_are_no_images(tmp_path: Path) -> None:
    assert refs(written(tmp_path / "a.parquet", {"image": pa.array([], pa.binary())})) == []


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


def test_a_damaged_page_costs_its_rows_and_no_others(tmp_path: Path, tiny: Run) -> None:
    images = [picture(tmp_path / f"{n}.png", n).read_bytes() for n in range(4)]
    path = written(tmp_path / "a.parquet", {"image": images}, row_group_size=2, compression="gzip")
    data = bytearray(path.read_bytes())
    at = pq.ParquetFile(path).metadata.row_group(0).column(0)
    start = at.dictionary_page_offset or at.data_page_offset
    data[start + 30 : start + 90] = bytes(60)
    path.write_bytes(data)
    ran = tiny("embed", "a.parquet")
    assert ran.status == 0, ran.err
    assert list(read_descriptors(tmp_path / "descriptors").ids) == ["2", "3"]
    assert list(read_descriptors(tmp_path / "descriptors").unreadable.ids) == ["0", "1"]


def test_copies_in_a_parquet_file_are_reported_by_row(tmp_path: Path, tiny: Run) -> None:
    images = [picture(tmp_path / f"{n}.png", n).read_bytes() for n in (0, 1, 0, 2)]
    path = written(tmp_path / "a.parquet", {"image": structs(images)}, row_group_size=2)
    ran = tiny("embed", "a.parquet")
    assert "4 images: 3 embedded, 1 exact copy" in ran.err
    assert "4 unchanged" in tiny("embed", "a.parquet").err
    assert tiny("dedup", "-f", "paths").lines == ["a.parquet/2"]
    os.utime(path, ns=(5, 5))
    assert "0 unchanged" in tiny("embed", "a.parquet").err
    error = error_line(tiny("embed", "a.parquet", "--image-column", "photo"))
    assert error == f"{path} has no column photo; choose one with --image-column (image)"
