"""A report as Parquet: readable by anyone, complete or absent."""

from __future__ import annotations

import errno
import io
import os
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sscd_cli.descriptors.tables import write_table
from sscd_cli.errors import StoreError

COLUMNS = {
    "id": ["a", "b"],
    "cluster": np.array([0, -1]),
    "similarity": np.array([1, 0.75], np.float32),
    "keeper": ["a", None],
    "format": np.array(["JPEG", "PNG"]),
}


def test_columns_keep_their_types(tmp_path: Path) -> None:
    write_table(tmp_path / "report.parquet", COLUMNS)
    found = pq.read_table(tmp_path / "report.parquet")
    assert found.to_pydict() == {name: list(values) for name, values in COLUMNS.items()}
    assert found.schema.types == [pa.string(), pa.int64(), pa.float32(), pa.string(), pa.string()]
    assert [path.name for path in tmp_path.iterdir()] == ["report.parquet"]


def test_a_stream_gets_the_same_bytes_as_a_file(tmp_path: Path) -> None:
    stream = io.BytesIO()
    write_table(stream, COLUMNS)
    write_table(tmp_path / "report.parquet", COLUMNS)
    assert stream.getvalue() == (tmp_path / "report.parquet").read_bytes()


def test_names_that_are_not_utf8_get_a_column_of_bytes() -> None:
    stream = io.BytesIO()
    write_table(stream, {"id": ["\udcff", "b", None], "n": np.arange(3)})
    assert pq.read_table(pa.BufferReader(stream.getvalue())).to_pydict() == {
        "id": [r"\xff", "b", None],
        "id_bytes": [b"\xff", None, None],
        "n": [0, 1, 2],
    }


def test_a_report_without_rows_keeps_its_columns() -> None:
    stream = io.BytesIO()
    write_table(stream, {"id": [], "n": np.empty(0, np.int64)})
    found = pq.read_table(pa.BufferReader(stream.getvalue()))
    assert found.schema.names == ["id", "n"]
    assert found.schema.field("n").type == pa.int64()


def test_a_full_disk_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report.parquet"
    target.write_bytes(b"old")

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError) as caught:
        write_table(target, COLUMNS)
    assert str(caught.value) == (
        f"cannot write to {target}: the disk is full; "
        "free some space and run the same command again"
    )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {target.name: b"old"}


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    target = tmp_path / "no" / "report.parquet"
    with pytest.raises(StoreError) as caught:
        write_table(target, COLUMNS)
    assert str(caught.value) == (
        f"cannot write to {target}: No such file or directory; choose another place with -o"
    )


def test_a_link_is_written_through_and_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "report.parquet")
    write_table(tmp_path / "link", COLUMNS)
    assert (tmp_path / "link").is_symlink()
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_table(pipe, COLUMNS)
    reader.join()
    assert pipe.is_fifo()
    assert read == [(tmp_path / "report.parquet").read_bytes()]
