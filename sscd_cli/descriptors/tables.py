"""A report's columns as one Parquet file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sscd_cli.descriptors.schema import names_from_columns, names_to_columns
from sscd_cli.errors import StoreError, reason_of
from sscd_cli.machines.hardware import lacking

Column = Sequence[Any] | npt.NDArray[Any]


def write_table(
    stream: BinaryIO, columns: Mapping[str, Column], metadata: Mapping[bytes, bytes] | None = None
) -> None:
    """Write columns of equal length to a stream, with what else is said of them all: `as_table`.

    Raises: ValueError: columns of unequal length.
    """
    payload = pa.BufferOutputStream()  # Arrow closes what it writes to itself
    pq.write_table(as_table(columns, metadata), payload, compression="zstd")
    stream.write(payload.getvalue())


def as_table(
    columns: Mapping[str, Column], metadata: Mapping[bytes, bytes] | None = None
) -> pa.Table:
    """Return columns of equal length as a table, with what else is said of them all.

    Text that is not valid UTF-8 (a file name) is backslash-escaped, and a column `NAME_bytes`
    beside it then holds the true bytes, null where the text is true.
    Raises: ValueError: columns of unequal length.
    """
    arrays: dict[str, pa.Array] = {}
    for name, values in columns.items():
        arrays |= _arrays(name, values)
    return pa.table(arrays, metadata=dict(metadata) if metadata else None)


def _arrays(name: str, values: Column) -> dict[str, pa.Array]:
    if isinstance(values, np.ndarray) and values.dtype.kind not in "OU":
        return {name: pa.array(values)}
    texts = values.tolist() if isinstance(values, np.ndarray) else list(values)
    known = [text for text in texts if text is not None]
    if not known or not all(isinstance(text, str) for text in known):
        return {name: pa.array(texts)}
    pair = names_to_columns(name, texts)
    exceptions = pa.array(pair.pop(f"{name}_bytes"), pa.binary())
    text = {name: pa.array(pair[name], pa.string())}
    return text if exceptions.null_count == len(texts) else text | {f"{name}_bytes": exceptions}


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read all columns of a file of numbers that `write_table` wrote.

    Raises: StoreError: it is damaged or cannot be read.
    """
    try:
        table = pq.read_table(pa.BufferReader(path.read_bytes()))
        return {name: table[name].to_numpy() for name in table.column_names}
    except (OSError, pa.ArrowException) as error:
        if lacking(error):
            raise
        raise StoreError(f"{path} is damaged", "delete it and run that task again") from error


def read_table(
    payload: bytes, columns: Sequence[str]
) -> tuple[dict[str, list[Any]], dict[bytes, bytes]]:
    """Read what `write_table` wrote: those of some columns that it has, true names included, and
    the metadata.

    Raises: ValueError: no Parquet file.
    """
    try:
        table = pq.read_table(pa.BufferReader(payload))
        there = [name for name in columns if name in table.column_names]
        return {name: _values(table, name) for name in there}, table.schema.metadata or {}
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ValueError(reason_of(error)) from error


def _values(table: pa.Table, name: str) -> list[Any]:
    if f"{name}_bytes" not in table.column_names:
        return list(table[name].to_pylist())
    return [os.fsdecode(value) for value in names_from_columns(table, name).to_pylist()]
