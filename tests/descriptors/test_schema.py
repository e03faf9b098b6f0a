"""Rows to columns and back: names of any bytes, rounding, provenance."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from stores import PROVENANCE

from sscd_cli.descriptors.provenance import Provenance, difference
from sscd_cli.descriptors.schema import (
    Row,
    descriptor_values,
    names_from_columns,
    shard_schema,
    to_table,
)
from sscd_cli.errors import ModelError
from sscd_cli.text import FOOTER_KEY


def unit_vectors(count: int, dimensions: int) -> np.ndarray:
    vectors = np.random.default_rng(0).standard_normal((count, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_provenance_survives_the_footer() -> None:
    stored = shard_schema(PROVENANCE).metadata[FOOTER_KEY]
    assert Provenance.from_json(stored) == PROVENANCE
    assert json.loads(stored)["weights_sha256"] == "a" * 64


def test_footer_of_a_later_version_is_read_and_one_with_a_missing_field_is_not() -> None:
    later = json.loads(PROVENANCE.to_json()) | {"colour": "linear"}
    assert Provenance.from_json(json.dumps(later).encode()) == PROVENANCE
    earlier = {name: value for name, value in later.items() if name != "post"}
    assert Provenance.from_json(json.dumps(earlier).encode()) == PROVENANCE
    del later["model"]
    with pytest.raises(KeyError):
        Provenance.from_json(json.dumps(later).encode())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model": "sscd_b", "weights_sha256": "b" * 64},
            "sscd_a (weights aaaaaaaaaaaa) against sscd_b (weights bbbbbbbbbbbb)",
        ),
        ({"dimensions": 8}, "4 dimensions against 8"),
        (
            {"preprocessing": {"name": "small-288", "size": 320, "exif": False}},
            "preprocessing exif=None, size=288 against exif=False, size=320",
        ),
        ({"dtype": "float32", "precision": "bf16", "tool_version": "9"}, None),
        ({"model": "a new name of the same weights"}, None),
    ],
)
def test_difference_names_what_keeps_two_sets_apart(
    change: dict[str, object], message: str | None
) -> None:
    assert difference(PROVENANCE, replace(PROVENANCE, **change)) == message  # type: ignore[arg-type]


def test_preprocessing_is_compared_as_stored() -> None:
    tuples = replace(PROVENANCE, preprocessing={"mean": (0.5, 0.5)})
    assert difference(tuples, Provenance.from_json(tuples.to_json())) is None


def test_names_of_any_bytes_come_back_and_the_text_column_is_valid() -> None:
    raw = [
        b"plain.jpg",
        "h\N{LATIN SMALL LETTER E WITH ACUTE} \N{FIRE}".encode(),
        b"bad \xff\xfe.jpg",
        b"new\nline",
        b"\xc3",
        rb"\xc3",
    ]
    names = [os.fsdecode(name) for name in raw]
    table = to_table([Row(name, os.fsdecode(b"/r\xe9")) for name in names], PROVENANCE)
    table.validate(full=True)
    assert names_from_columns(table, "id").to_pylist() == raw
    assert names_from_columns(table, "source").to_pylist() == [b"/r\xe9"] * len(raw)
    assert table["id"].to_pylist()[2] == r"bad \xff\xfe.jpg"
    assert table["id_bytes"].to_pylist() == [None, None, raw[2], None, raw[4], None]


def test_an_error_is_one_line_of_valid_text() -> None:
    row = Row("a", "/r", error="broken \udcff\nbadly")
    assert to_table([row], PROVENANCE)["error"].to_pylist() == [r"broken \xff\nbadly"]


def test_descriptor_values_skip_python_objects_and_keep_the_place_of_null_rows() -> None:
    vectors = unit_vectors(5, 4)
    rows = [Row(str(i), "/r", None if i == 2 else vectors[i]) for i in range(5)]
    column = to_table(rows, PROVENANCE)["descriptor"]
    values = descriptor_values(column, 4)
    assert values.dtype == np.float16
    assert not values.flags.owndata
    np.testing.assert_array_equal(np.delete(values, 2, 0), np.delete(vectors, 2, 0).astype("f2"))
    assert column.null_count == 1
    np.testing.assert_array_equal(descriptor_values(column.slice(3, 2), 4), values[3:5])


@pytest.mark.parametrize("dimensions", [32, 512, 1024])
def test_float16_moves_a_cosine_by_less_than_a_thousandth(dimensions: int) -> None:
    vectors = unit_vectors(400, dimensions)
    wide = replace(PROVENANCE, dimensions=dimensions)
    table = to_table([Row("a", "/r", vector) for vector in vectors], wide)
    rounded = descriptor_values(table["descriptor"], dimensions).astype(np.float32)
    moved = np.abs(rounded @ rounded.T - vectors @ vectors.T)
    assert moved.max() < 1e-3
    assert moved.mean() < 6e-5


def test_float32_is_stored_as_it_is() -> None:
    exact = replace(PROVENANCE, dtype="float32")
    vectors = unit_vectors(3, 4)
    values = descriptor_values(
        to_table([Row("a", "/", v) for v in vectors], exact)["descriptor"], 4
    )
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, vectors)


def test_a_descriptor_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(5,\) instead of \(4,\)"):
        to_table([Row("a", "/r", np.zeros(5, np.float32))], PROVENANCE)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_a_descriptor_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ModelError) as caught:
        to_table([Row("a", "/r", np.full(4, value, np.float32))], PROVENANCE)
    assert str(caught.value) == (
        "sscd_a gives descriptors that are not finite; "
        "check its weights, or run with --precision fp32"
    )
