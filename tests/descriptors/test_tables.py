"""A report as Parquet: readable by anyone."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sscd_cli.descriptors.tables import write_table

COLUMNS = {
    "id": ["a", "b"],
    "cluster": np.array([0, -1]),
    "similarity": np.array([1, 0.75], np.float32),
    "keeper": ["a", None],
    "format": np.array(["JPEG", "PNG"]),
}


def test_columns_keep_their_types() -> None:
    stream = io.BytesIO()
    write_table(stream, COLUMNS)
    found = pq.read_table(pa.BufferReader(stream.getvalue()))
    assert found.to_pydict() == {name: list(values) for name, values in COLUMNS.items()}
    assert found.schema.types == [pa.string(), pa.int64(), pa.float32(), pa.string(), pa.string()]


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
