"""Write a report's columns as one Parquet file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sscd_cli.descriptors.schema import names_to_columns

Column = Sequence[Any] | npt.NDArray[Any]


def write_table(stream: BinaryIO, columns: Mapping[str, Column]) -> None:
    """Write columns of equal length to a stream.

    Text that is not valid UTF-8 (a file name) is backslash-escaped, and a column `NAME_bytes`
    beside it then holds the true bytes, null where the text is true.
    Raises: ValueError: columns of unequal length.
    """
    arrays: dict[str, pa.Array] = {}
    for name, values in columns.items():
        arrays |= _arrays(name, values)
    table = pa.table(arrays)
    payload = pa.BufferOutputStream()  # Arrow closes what it writes to itself
    pq.write_table(table, payload, compression="zstd")
    stream.write(payload.getvalue())


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
