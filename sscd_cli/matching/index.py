"""A FAISS index over a descriptor dataset: built, saved with what it covers, and extended.

Two files: `PATH`, as FAISS writes it, and `PATH.json`, the manifest: what made the descriptors,
which shards they came from, and how many rows. A row's number in the index is its number in
the dataset when it was indexed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.errors import StoreError, UsageError, cannot_write
from sscd_cli.matching.products import Indices
from sscd_cli.storage.files import whole_file
from sscd_cli.text import counted, from_json

EXACT_ROWS = 200_000  # up to here a flat index answers in a fraction of a second
PROBES = 64  # of 4 √N lists: recall 0.997 or better at cosine 0.75
_TRAINING_ROWS_PER_LIST = 64
_BLOCK = 65_536
_BUFFER_BYTES = 1 << 20
_VERSION = 3
_QUERIES, _NEAREST = 200, 10  # to measure the recall of an index with
_ROUNDING = 1e-6  # of a product


@dataclass(frozen=True, slots=True)
class ShardStamp:
    """A shard file as it was when indexed: name, size in bytes, time of change in ns."""

    name: str
    file_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an index covers: `rows` descriptors with this digest, from these shards.

    recall: which share of the 10 nearest rows it found when it was built, None if it is exact.
    """

    provenance: Mapping[str, Any]
    shards: tuple[ShardStamp, ...]
    factory: str
    rows: int
    rows_digest: str
    recall: float | None = None


def choose_factory(rows: int) -> str:
    """Return the FAISS factory string for a set of this size: exact, or inverted lists.

    The lists hold float16, which loses nothing of descriptors that are stored so.
    """
    return "Flat" if rows <= EXACT_ROWS else f"IVF{4 * round(rows**0.5)},SQfp16"


class Index:
    """Nearest rows by inner product; `manifest` says of what."""

    def __init__(self, faiss_index: Any, manifest: Manifest) -> None:
        self._faiss = faiss_index
        self.manifest = manifest

    @classmethod
    def build(
        cls,
        descriptors_ND: NDArray[Any],
        *,
        provenance: Mapping[str, Any],
        shards: Sequence[ShardStamp],
        factory: str = "auto",
    ) -> Index:
        """Index the rows of a dataset.

        Args: descriptors_ND: float16 or float32 (N, D), about unit length. provenance: what
            made them, as JSON takes it. factory: a FAISS factory string, or "auto" by size.
        Raises: UsageError: FAISS does not know the factory, or cannot train it on these rows.
        """
        factory = choose_factory(len(descriptors_ND)) if factory == "auto" else factory
        faiss_index = _trained(descriptors_ND, factory)
        _add(faiss_index, descriptors_ND)
        manifest = Manifest(
            provenance,
            tuple(shards),
            factory,
            len(descriptors_ND),
            _digest(descriptors_ND).hexdigest(),
            None if factory == "Flat" else _recall(faiss_index, descriptors_ND),
        )
        return cls(faiss_index, manifest)

    def is_current(self, provenance: Mapping[str, Any], shards: Sequence[ShardStamp]) -> bool:
        """Whether the index covers just these shards, unchanged, of the same model."""
        same_model = _as_json(self.manifest.provenance) == _as_json(provenance)
        return same_model and self.manifest.shards == tuple(shards)

    def update(self, descriptors_ND: NDArray[Any], shards: Sequence[ShardStamp]) -> int | None:
        """Add the rows that the dataset gained, if it still begins with the rows indexed.

        Returns: the number of rows added, or None where earlier rows were replaced or pruned:
            then the index is unchanged and has to be built anew.
        """
        known = self.manifest.rows
        digest = _digest(descriptors_ND[:known])
        if digest.hexdigest() != self.manifest.rows_digest:
            return None
        _add(self._faiss, descriptors_ND[known:])
        self.manifest = replace(
            self.manifest,
            shards=tuple(shards),
            rows=len(descriptors_ND),
            rows_digest=_digest(descriptors_ND[known:], digest).hexdigest(),
        )
        return len(descriptors_ND) - known

    def search(self, queries_QD: NDArray[Any], k: int) -> tuple[NDArray[np.float32], Indices]:
        """Return the k nearest rows of each query, the nearest first.

        Returns: similarity, float32 (Q, K) in [-1, 1], and row, int64 (Q, K), with K the
            smaller of k and the rows indexed. Inverted lists may hold fewer: then row is -1.
        Raises: StoreError: the queries have other dimensions than the index.
        """
        dimensions = queries_QD.shape[1]
        if dimensions != self._faiss.d:
            raise StoreError(
                f"queries of {dimensions} dimensions do not fit an index of {self._faiss.d}",
                "embed both with the same model",
            )
        k = min(k, self.manifest.rows)
        if k < 1 or not len(queries_QD):
            empty = (len(queries_QD), max(k, 0))
            return np.empty(empty, np.float32), np.empty(empty, np.int64)
        similarity, row = self._faiss.search(np.ascontiguousarray(queries_QD, np.float32), k)
        return np.clip(similarity, -1.0, 1.0), row

    def save(self, path: Path) -> None:
        """Write the index and its manifest; a crash leaves the old pair or a detectable mix.

        Raises: StoreError: the files cannot be written.
        """
        faiss = _faiss()

        try:
            with whole_file(path) as file:
                faiss.write_index(self._faiss, faiss.PyCallbackIOWriter(file.write, _BUFFER_BYTES))
            record = {
                "version": _VERSION,
                "file_digest": _file_digest(path),
                **asdict(self.manifest),
            }
            with whole_file(_manifest_path(path)) as file:
                file.write(json.dumps(record, indent=1, sort_keys=True).encode() + b"\n")
        except OSError as error:
            fix = "free some space or choose another place"
            raise cannot_write(f"the index {path}", error, fix, StoreError) from error

    @classmethod
    def load(cls, path: Path) -> Index:
        """Read an index that `save` wrote.

        Raises: StoreError: there is none, it is damaged, or another version wrote it.
        """
        faiss = _faiss()
        if not path.exists() or not _manifest_path(path).exists():
            raise StoreError(f"there is no index at {path}", "run sscd index first")
        try:
            manifest, file_digest = _read_manifest(_manifest_path(path))
            if _file_digest(path) != file_digest:
                raise ValueError("it is not the file that its manifest describes")
            with path.open("rb") as file:
                reader = faiss.PyCallbackIOReader(file.read, _BUFFER_BYTES)
                faiss_index = faiss.read_index(reader)
            if faiss_index.ntotal != manifest.rows:
                raise ValueError(f"{counted(faiss_index.ntotal, 'rows')}, not {manifest.rows}")
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = str(error).rpartition("Error: ")[2]  # FAISS puts its source line before it
            raise StoreError(
                f"cannot read the index {path}: {reason}", "run sscd index again"
            ) from error
        return cls(faiss_index, manifest)


def _faiss() -> Any:
    """Import FAISS when it is needed (150 ms), untyped: its stubs leave out what we use."""
    import faiss

    return faiss


def _trained(descriptors_ND: NDArray[Any], factory: str) -> Any:
    """Return an empty FAISS index of this kind, trained where it needs training."""
    faiss = _faiss()
    count, dimensions = descriptors_ND.shape
    try:
        index = faiss.index_factory(dimensions, factory, faiss.METRIC_INNER_PRODUCT)
        lists = faiss.try_extract_index_ivf(index)
        if not index.is_trained:
            wanted = _TRAINING_ROWS_PER_LIST * lists.nlist if lists else EXACT_ROWS
            sample = np.linspace(0, count - 1, min(count, wanted)).astype(np.int64)
            index.train(np.ascontiguousarray(descriptors_ND[sample], np.float32))
    except RuntimeError as error:
        reason = str(error).rpartition("Error: ")[2].rpartition(": ")[2]
        raise UsageError(
            f"FAISS cannot make the index {factory!r} of {counted(count, 'rows')}: {reason}",
            "leave out --factory or name another, such as Flat or IVF4096,SQfp16",
        ) from error
    if lists:
        lists.nprobe = min(PROBES, lists.nlist)
    return index


def _add(faiss_index: Any, descriptors_ND: NDArray[Any]) -> None:
    for start in range(0, len(descriptors_ND), _BLOCK):
        block = descriptors_ND[start : start + _BLOCK]
        faiss_index.add(np.ascontiguousarray(block, np.float32))


def _recall(faiss_index: Any, descriptors_ND: NDArray[Any]) -> float:
    """Return the share of the true nearest rows that a search of some rows finds.

    Each row itself counts for nothing, and of rows that are equally near any will do. Costs
    200 x N products and 800 bytes a row.
    """
    count = len(descriptors_ND)
    others = min(_NEAREST, count - 1)
    if others < 1:
        return 1.0
    rows = np.linspace(0, count - 1, min(count, _QUERIES)).astype(np.int64)
    queries = np.ascontiguousarray(descriptors_ND[rows], np.float32)
    _, found = faiss_index.search(queries, others + 1)
    scores = np.concatenate(
        [
            queries @ descriptors_ND[start : start + _BLOCK].astype(np.float32).T
            for start in range(0, count, _BLOCK)
        ],
        axis=1,
    )
    last = np.partition(scores, -others - 1, axis=1)[:, -others - 1, None]
    near = np.take_along_axis(scores, found, axis=1) >= last - _ROUNDING
    hits = (near & (found >= 0) & (found != rows[:, None])).sum(axis=1)
    return round(float(np.minimum(hits, others).mean() / others), 4)


def _digest(descriptors_ND: NDArray[Any], digest: Any = None) -> Any:
    """Return the BLAKE2b-128 of the type and the bytes of rows, or go on with the one given."""
    digest = digest or hashlib.blake2b(descriptors_ND.dtype.str.encode(), digest_size=16)
    for start in range(0, len(descriptors_ND), _BLOCK):
        digest.update(np.ascontiguousarray(descriptors_ND[start : start + _BLOCK]).data)
    return digest


def _as_json(provenance: Mapping[str, Any]) -> str:
    return json.dumps(provenance, sort_keys=True)


def _manifest_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _file_digest(path: Path) -> str:
    """Return the BLAKE2b-128 of a file: FAISS takes any bytes for vectors. Reads about 1 GB/s."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=16)).hexdigest()


def _read_manifest(path: Path) -> tuple[Manifest, str]:
    """Return the manifest and the digest of the index file beside it."""
    record = from_json(path.read_bytes())
    if record["version"] != _VERSION:
        raise ValueError(f"it is of version {record['version']}, this is {_VERSION}")
    shards = tuple(ShardStamp(**shard) for shard in record["shards"])
    names = ("provenance", "factory", "rows", "rows_digest", "recall")
    manifest = Manifest(shards=shards, **{name: record[name] for name in names})
    return manifest, record["file_digest"]
