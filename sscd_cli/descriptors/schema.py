"""What a shard holds: one row an image, and in its footer what made the descriptors.

    id, source         text; a name that is not valid UTF-8 is backslash-escaped here, and its
    id_bytes,          true bytes stand in these two columns (null for every other name)
    source_bytes
    descriptor         fixed-size list of float16 or float32, null where unreadable
    status, error      "ok" or "unreadable", and the reason
    width, height      pixels of the upright original
    format             as the decoder names it ("JPEG")
    file_bytes, mtime_ns, content_hash (BLAKE2b-128 of the file's bytes)
    frames             pictures in the file: more than 1 for animations and files of pages
    content            how much there is to see: see `images.decode`
    pixel_hash         BLAKE3-128 of the upright pixels, null where not all were decoded

Shards of earlier versions lack the last three, which are null then, or hold BLAKE2b-128 of the
pixels, which is like no other: their pictures are known again by their bytes alone.

The newest row of a (source, id) counts: rows of later shards supersede earlier ones.

float16 rounds each value by at most 2⁻¹¹ of itself, so a cosine of two unit vectors moves by
less than 0.001 in the worst case, and by about 3e-5 for typical 512-d descriptors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sscd_cli.descriptors.provenance import Descriptor, Provenance
from sscd_cli.errors import ModelError, printable
from sscd_cli.text import FOOTER_KEY

NAME_COLUMNS = ("id", "id_bytes", "source", "source_bytes")
HASH_BYTES = 16
LATER_COLUMNS = ("frames", "content", "pixel_hash")  # that the first shards did not have


@dataclass(frozen=True, slots=True)
class Row:
    """One image. descriptor: (D,) floating point, None when unreadable. content_hash: 16 bytes.

    `id` and `source` are file names as `os.fsdecode` gives them: any bytes survive.
    error: why there is no descriptor.
    """

    id: str
    source: str
    descriptor: npt.NDArray[Any] | None = None
    error: str | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    file_bytes: int | None = None
    mtime_ns: int | None = None
    content_hash: bytes | None = None
    frames: int | None = None
    content: int | None = None
    pixel_hash: bytes | None = None

    @property
    def status(self) -> Literal["ok", "unreadable"]:
        """Return what the column of this name says."""
        return "unreadable" if self.descriptor is None else "ok"


def shard_schema(provenance: Provenance) -> pa.Schema:
    """Return the columns of a shard, with `provenance` in its metadata."""
    value = pa.float16() if provenance.dtype == "float16" else pa.float32()
    columns = {
        "id": pa.string(),
        "source": pa.string(),
        "descriptor": pa.list_(value, provenance.dimensions),
        "status": pa.string(),
        "error": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "format": pa.string(),
        "file_bytes": pa.int64(),
        "mtime_ns": pa.int64(),
        "content_hash": pa.binary(HASH_BYTES),
        "id_bytes": pa.binary(),
        "source_bytes": pa.binary(),
        "frames": pa.int32(),
        "content": pa.int32(),
        "pixel_hash": pa.binary(HASH_BYTES),
    }
    return pa.schema(list(columns.items()), metadata={FOOTER_KEY: provenance.to_json()})


def to_table(rows: Sequence[Row], provenance: Provenance) -> pa.Table:
    """Lay rows out as a shard's table.

    Raises: ValueError: a descriptor has another length than `provenance.dimensions`.
        ModelError: a descriptor holds a value that is not finite.
    """
    schema = shard_schema(provenance)
    columns = {name: [getattr(row, name) for row in rows] for name in _PLAIN}
    columns |= names_to_columns("id", [row.id for row in rows])
    columns |= names_to_columns("source", [row.source for row in rows])
    columns["error"] = [row.error and printable(row.error) for row in rows]
    columns["descriptor"] = _descriptor_column([row.descriptor for row in rows], provenance)
    arrays = [
        c if isinstance(c, pa.Array) else pa.array(c, schema.field(name).type)
        for name, c in ((name, columns[name]) for name in schema.names)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


_ALWAYS = ("status", "width", "height", "format", "file_bytes", "mtime_ns", "content_hash")
_PLAIN = (*_ALWAYS, *LATER_COLUMNS)


def _descriptor_column(
    descriptors: Sequence[npt.NDArray[Any] | None], provenance: Provenance
) -> pa.Array:
    shape = (len(descriptors), provenance.dimensions)
    values = np.zeros(shape, provenance.dtype)
    for row, descriptor in enumerate(descriptors):
        if descriptor is None:
            continue
        if descriptor.shape != shape[1:]:
            raise ValueError(f"a descriptor of shape {descriptor.shape} instead of {shape[1:]}")
        with np.errstate(over="ignore"):  # what overflows float16 is reported below
            values[row] = descriptor
    if not np.isfinite(values).all():
        what = f"{provenance.model} gives descriptors that are not finite"
        raise ModelError(what, "check its weights, or run with --precision fp32")
    missing = pa.array([descriptor is None for descriptor in descriptors], pa.bool_())
    return pa.FixedSizeListArray.from_arrays(
        pa.array(values.reshape(-1)), provenance.dimensions, mask=missing
    )


_GROUP_ROWS = 1024  # each is laid out whole before it is written, at 14 kB a row


def to_parquet(table: pa.Table) -> pa.Buffer:
    """Return a shard's bytes: descriptors plain (they do not compress), pages with checksums."""
    stream = pa.BufferOutputStream()
    compression = dict.fromkeys(table.column_names, "zstd")
    del compression["descriptor"]
    compression["descriptor.list.element"] = "none"
    pq.write_table(
        table,
        stream,
        compression=compression,
        use_dictionary=["source", "status", "error", "format"],
        write_statistics=False,
        write_page_checksum=True,
        row_group_size=_GROUP_ROWS,
    )
    return stream.getvalue()


def descriptor_values(column: pa.ChunkedArray, dimensions: int) -> Descriptor:
    """Return a descriptor column as (rows, D) in its stored dtype; null rows are undefined.

    Reads the flat buffer, so that no Python object is made; copies only if there are several
    chunks.
    """
    dtype = column.type.value_type.to_pandas_dtype()
    blocks = []
    for chunk in column.chunks:
        flat = chunk.values  # with the slots of null rows, from the start of the buffer
        values = np.frombuffer(flat.buffers()[1], dtype)[flat.offset : flat.offset + len(flat)]
        first = chunk.offset * dimensions
        blocks.append(values[first : first + len(chunk) * dimensions].reshape(-1, dimensions))
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate(blocks) if blocks else np.empty((0, dimensions), dtype)


def name_bytes(name: str) -> bytes:
    """Return a file name's true bytes."""
    return name.encode("utf-8", "surrogateescape")


def names_to_columns(column: str, names: Sequence[str | None]) -> dict[str, list[Any]]:
    """Return `column` as text and `column`_bytes, which holds what is not valid UTF-8."""
    text: list[str | None] = []
    exceptions: list[bytes | None] = []
    for name in names:
        true = None if name is None else name_bytes(name)
        shown = None if true is None else true.decode("utf-8", "backslashreplace")
        text.append(shown)
        exceptions.append(None if shown == name else true)
    return {column: text, f"{column}_bytes": exceptions}


def names_from_columns(table: pa.Table, column: str) -> pa.ChunkedArray:
    """Return the true names of a text column as binary, undoing `names_to_columns`."""
    text, exceptions = table[column].cast(pa.binary()), table[f"{column}_bytes"]
    if exceptions.null_count == len(exceptions):
        return text
    import pyarrow.compute as pc

    return pc.coalesce(exceptions, text)


def name_digest(source: str, id: str) -> bytes:
    """Return 16 bytes that stand for an image's name."""
    return _digest(name_bytes(source), name_bytes(id))


def _digest(source: bytes, id: bytes) -> bytes:
    return hashlib.blake2b(source + b"\0" + id, digest_size=HASH_BYTES).digest()


def name_digests(table: pa.Table) -> Iterator[bytes]:
    """Yield the `name_digest` of each row of a shard, read with its columns of names."""
    names = (names_from_columns(table, column).to_pylist() for column in ("source", "id"))
    return map(_digest, *names)
