"""What comes back: the newest row of each image, exactly and cheaply, or an error that helps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stores import PROVENANCE, row, rows

from sscd_cli.descriptors.provenance import Provenance
from sscd_cli.descriptors.read import COLUMNS, read_comparable, read_descriptors, stream_comparable
from sscd_cli.descriptors.schema import Row
from sscd_cli.descriptors.write import ShardWriter
from sscd_cli.errors import StoreError


def store(
    folder: Path, *runs: list[Row], provenance: Provenance = PROVENANCE, rows_per_shard: int = 3
) -> Path:
    for each in runs:
        with ShardWriter(folder, provenance, rows_per_shard) as writer:
            writer.add(each)
    return folder


def test_rows_come_back_in_order_in_their_stored_dtype(tmp_path: Path) -> None:
    written = rows("gfedcba")
    found = read_descriptors(store(tmp_path, written))
    assert list(found.ids) == list("gfedcba")
    assert list(found.sources) == ["/photos"] * 7
    assert found.path(1) == "/photos/f"
    assert found.provenance == PROVENANCE
    assert found.descriptors.dtype == np.float16
    assert found.descriptors.flags.c_contiguous
    expected = np.stack([each.descriptor for each in written])
    np.testing.assert_array_equal(found.descriptors, expected.astype(np.float16))


def test_columns_come_back_as_plain_arrays(tmp_path: Path) -> None:
    known = Row(
        "a",
        "/p",
        np.ones(4, np.float32),
        width=70_000,
        height=2,
        format="JPEG",
        file_bytes=2**40,
        mtime_ns=1_700_000_000_123_456_789,
        content_hash=b"\0" * 15 + b"\1",
    )
    found = read_descriptors(store(tmp_path, [known, Row("b", "/p", np.ones(4, np.float32))]))
    assert set(found.columns) == set(COLUMNS)
    for name, values in (
        ("width", [70_000, 0]),
        ("height", [2, 0]),
        ("file_bytes", [2**40, 0]),
        ("mtime_ns", [1_700_000_000_123_456_789, 0]),
    ):
        assert found.columns[name].dtype == np.int64
        assert found.columns[name].tolist() == values
    assert found.columns["format"].tolist() == ["JPEG", ""]
    assert [bytes(each) for each in found.columns["content_hash"]] == [
        known.content_hash,
        bytes(16),
    ]


def test_only_the_columns_asked_for_are_read(tmp_path: Path) -> None:
    found = read_descriptors(store(tmp_path, rows("ab")), columns=["width"])
    assert list(found.columns) == ["width"]


def test_unreadable_images_are_kept_apart_with_their_reason(tmp_path: Path) -> None:
    broken = Row("b", "/photos", error="truncated file")
    found = read_descriptors(store(tmp_path, [row("a"), broken, row("c")]))
    assert list(found.ids) == ["a", "c"]
    np.testing.assert_array_equal(found.descriptors[1], row("c").descriptor.astype(np.float16))
    assert list(found.unreadable.ids) == ["b"]
    assert list(found.unreadable.sources) == ["/photos"]
    assert found.unreadable.errors == ["truncated file"]


def test_a_store_of_unreadable_images_has_no_descriptors(tmp_path: Path) -> None:
    found = read_descriptors(store(tmp_path, [Row("b", "/photos", error="empty")]))
    assert len(found) == 0
    assert found.descriptors.shape == (0, 4)
    assert len(found.unreadable) == 1


def test_names_of_any_bytes_come_back(tmp_path: Path) -> None:
    raw = [b"\xff.jpg", rb"\xff.jpg", b"a b\n.jpg", "\N{SNOWMAN}.png".encode()]
    written = [
        replace(row("a"), id=os.fsdecode(name), source=os.fsdecode(b"/\xe9")) for name in raw
    ]
    found = read_descriptors(store(tmp_path, written))
    assert [os.fsencode(name) for name in found.ids] == raw
    assert os.fsencode(found.path(0)) == b"/\xe9/\xff.jpg"
    assert list(found.ids[1:3]) == [os.fsdecode(name) for name in raw[1:3]]
    assert found.ids[-1] == "\N{SNOWMAN}.png"


def test_the_newest_row_of_an_image_counts(tmp_path: Path) -> None:
    """Against a plain dict, over random histories of readable and unreadable rows."""
    generator = np.random.default_rng(0)
    newest: dict[tuple[str, str], Row] = {}
    history = []
    for number in range(200):
        name, source = f"{generator.integers(40)}", f"/{generator.integers(3)}"
        descriptor = row(f"{number}").descriptor if generator.random() < 0.8 else None
        each = Row(name, source, descriptor, error=None if descriptor is not None else "bad")
        newest.pop((source, name), None)
        newest[source, name] = each
        history.append(each)
    found = read_descriptors(store(tmp_path, history[:77], history[77:], rows_per_shard=16))
    expected = [each for each in newest.values() if each.descriptor is not None]
    assert list(found.ids) == [each.id for each in expected]
    assert list(found.sources) == [each.source for each in expected]
    np.testing.assert_array_equal(
        found.descriptors, np.stack([each.descriptor for each in expected]).astype(np.float16)
    )
    assert found.superseded == len(history) - len(newest)
    assert set(found.unreadable.ids) <= {each.id for each in newest.values()}
    assert len(found.unreadable) == len(newest) - len(expected)


def test_shards_say_how_many_of_their_rows_count(tmp_path: Path) -> None:
    found = read_descriptors(store(tmp_path, rows("abcd"), rows("ax")))
    assert [(shard.name, shard.rows) for shard in found.shards] == [
        ("shard-000000.parquet", 2),
        ("shard-000001.parquet", 1),
        ("shard-000002.parquet", 2),
    ]
    assert list(found.ids) == list("bcdax")
    for shard in found.shards:
        stat = (tmp_path / shard.name).stat()
        assert (shard.file_bytes, shard.mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def test_a_store_of_two_dtypes_is_read_in_the_wider(tmp_path: Path) -> None:
    store(tmp_path, rows("a"))
    store(tmp_path, rows("b"), provenance=replace(PROVENANCE, dtype="float32"))
    found = read_descriptors(tmp_path)
    assert found.provenance.dtype == "float32"
    np.testing.assert_array_equal(found.descriptors[1], row("b").descriptor)
    np.testing.assert_array_equal(found.descriptors[0], row("a").descriptor.astype("f2"))


def test_two_models_are_not_mixed(tmp_path: Path) -> None:
    store(tmp_path / "a", rows("a"))
    other = replace(PROVENANCE, preprocessing={"name": "skew-320", "size": 320})
    store(tmp_path / "b", rows("b"), provenance=other)
    shard = tmp_path / "b" / "shard-000000.parquet"
    shard.rename(tmp_path / "a" / "shard-000001.parquet")
    assert message(tmp_path / "a") == (
        f"{tmp_path}/a/shard-000000.parquet and shard-000001.parquet cannot be compared: "
        "preprocessing name=small-288, size=288 against name=skew-320, size=320; "
        "keep them in two folders, and name one with -d"
    )


def message(folder: Path) -> str:
    with pytest.raises(StoreError) as caught:
        read_descriptors(folder)
    return str(caught.value)


def test_a_folder_without_descriptors_says_what_to_run(tmp_path: Path) -> None:
    missing = tmp_path / "descriptors"
    expected = f"there are no descriptors in {missing}; run sscd embed SOURCE -d {missing} first"
    assert message(missing) == expected
    missing.mkdir()
    assert message(missing) == expected


def test_an_image_folder_says_how_to_embed_it(tmp_path: Path) -> None:
    photos = tmp_path / "my photos"
    photos.mkdir()
    (photos / "cat.jpg").touch()
    made = f"'{photos}-descriptors'"
    assert message(photos) == (
        f"{photos} holds images, not descriptors; "
        f"run sscd embed '{photos}' -d {made}, and name {made} instead"
    )
    assert message(photos / "cat.jpg") == (
        f"{photos}/cat.jpg is a file; name a folder of descriptors with -d"
    )


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_damaged_shard_is_named_with_the_remedy(tmp_path: Path, damage: str) -> None:
    shard = store(tmp_path, rows("abc")) / "shard-000000.parquet"
    half = shard.read_bytes()[: shard.stat().st_size // 2]
    shard.write_bytes({"cut": half, "empty": b"", "text": b"hello"}[damage])
    assert message(tmp_path) == f"{shard} is damaged; delete it and run sscd embed again"


def test_a_changed_descriptor_is_noticed(tmp_path: Path) -> None:
    """The pages of descriptors are plain, so the value's bytes can be found and changed."""
    each = row("a")
    shard = store(tmp_path, [each]) / "shard-000000.parquet"
    whole = shard.read_bytes()
    at = whole.index(each.descriptor.astype(np.float16).tobytes())
    for offset in range(8):
        flipped = bytearray(whole)
        flipped[at + offset] ^= 1
        shard.write_bytes(flipped)
        assert message(tmp_path) == f"{shard} is damaged; delete it and run sscd embed again"


def test_no_changed_byte_gives_a_wrong_answer_or_a_traceback(tmp_path: Path) -> None:
    shard = store(tmp_path, rows("abc")) / "shard-000000.parquet"
    whole = shard.read_bytes()
    before = read_descriptors(tmp_path)
    for offset in range(0, len(whole), 101):
        flipped = bytearray(whole)
        flipped[offset] ^= 0x80
        shard.write_bytes(flipped)
        try:
            after = read_descriptors(tmp_path)
        except StoreError:
            continue
        assert list(after.ids) == list(before.ids)
        np.testing.assert_array_equal(after.descriptors, before.descriptors)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 0.9, -1.0])
def test_descriptors_that_are_not_of_length_1_are_not_compared(
    tmp_path: Path, value: float
) -> None:
    vector = np.array([0, 1, 0, 0], np.float32)
    store(tmp_path, [replace(row(name), descriptor=vector) for name in "ab"])
    path = tmp_path / "shard-000000.parquet"
    table = pq.read_table(path)
    column = table.column_names.index("descriptor")
    values = np.array([[0, 1, 0, 0], [0, value, 0, 0]], np.float16)
    spoilt = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 4)
    pq.write_table(table.set_column(column, table.schema.field(column), spoilt), path)
    if value == -1:
        assert len(read_comparable(tmp_path)) == 2
        return
    for compare in (read_comparable, lambda folder: list(stream_comparable(folder)[1])):
        with pytest.raises(StoreError, match=r"a descriptor's length is .*, not 1; delete it and"):
            compare(tmp_path)


@pytest.mark.parametrize("footer", [None, b"[]", b"{", json.dumps({"model": "a"}).encode()])
def test_a_foreign_parquet_file_is_no_shard(tmp_path: Path, footer: bytes | None) -> None:
    shard = tmp_path / "shard-000000.parquet"
    metadata = None if footer is None else {b"sscd": footer}
    pq.write_table(pa.table({"id": ["a"]}).replace_schema_metadata(metadata), shard)
    assert message(tmp_path) == (
        f"{shard} is no descriptor shard of this version of sscd; "
        "move it out of the folder and run sscd embed again"
    )


def test_a_shard_that_vanishes_or_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path, rows("a"))
    shard = tmp_path / "shard-000000.parquet"
    for error, expected in (
        (
            PermissionError(13, "Permission denied"),
            "cannot read {}: Permission denied; allow reading it",
        ),
        (FileNotFoundError(2, "gone"), "{} vanished while it was read; run the same command again"),
    ):

        def refuse(*_: object, error: OSError = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(pq, "ParquetFile", refuse)
        assert message(tmp_path) == expected.format(shard)


def test_other_files_in_the_folder_are_ignored(tmp_path: Path) -> None:
    store(tmp_path, rows("a"))
    for name in (".shard-000001.parquet.part", "index.faiss", "shard-1.parquet", "notes.parquet"):
        (tmp_path / name).write_bytes(b"x")
    assert list(read_descriptors(tmp_path).ids) == ["a"]


def test_shards_past_a_million_stay_in_order(tmp_path: Path) -> None:
    store(tmp_path, rows("ab"), rows_per_shard=1)
    (tmp_path / "shard-000000.parquet").rename(tmp_path / "shard-1000000.parquet")
    (tmp_path / "shard-000001.parquet").rename(tmp_path / "shard-999999.parquet")
    assert list(read_descriptors(tmp_path).ids) == ["b", "a"]
    store(tmp_path, rows("c"))
    assert (tmp_path / "shard-1000001.parquet").exists()


def test_ten_thousand_rows_are_read_in_a_fraction_of_a_second(tmp_path: Path) -> None:
    wide = replace(PROVENANCE, dimensions=512)
    vectors = np.random.default_rng(0).standard_normal((10_000, 512)).astype(np.float32)
    written = [Row(str(i), "/photos", vector) for i, vector in enumerate(vectors)]
    store(tmp_path, written, provenance=wide, rows_per_shard=4096)
    start = time.process_time()
    found = read_descriptors(tmp_path)
    assert time.process_time() - start < 0.3
    np.testing.assert_array_equal(found.descriptors, vectors.astype(np.float16))


def test_reading_loads_neither_torch_nor_pandas(tmp_path: Path) -> None:
    store(tmp_path, rows("a"))
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from sscd_cli.descriptors import ledger, prune, read, tables, write\n"
        "found = read.read_descriptors(Path(sys.argv[1]))\n"
        "ledger.Ledger(found.folder, found.provenance)\n"
        "print(sorted({'torch', 'pandas', 'PIL', 'faiss', 'typer'} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path), *sys.path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
