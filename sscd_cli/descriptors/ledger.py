"""What a store already holds, so that nothing is embedded twice: unchanged files, exact copies."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sscd_cli.descriptors.provenance import Descriptor, Provenance
from sscd_cli.descriptors.schema import (
    HASH_BYTES,
    NAME_COLUMNS,
    Row,
    descriptor_values,
    name_digest,
    name_digests,
    names_from_columns,
)
from sscd_cli.descriptors.shards import read_shard, shard_path, shard_paths
from sscd_cli.errors import printable
from sscd_cli.machines.tasks import Task

_FACTS = ("status", "file_bytes", "mtime_ns", "content_hash", "error")
_ORIGINAL = ("width", "height", "format", "frames", "content", "pixel_hash")
_UNKNOWN = 2**64 - 1
_SIZE_BITS = 24  # of a stamp, the last for `_DAMAGED`; the other 40 are the time's
_DAMAGED = 1
_SHARDS_KEPT = 4
# shards of earlier runs are counted from here on: their own numbers, given by several tasks, may
# meet those of this run
_EARLIER = 1 << 31


class DigestMap:
    """128-bit digests to unsigned 64-bit integers, where the newest value of a digest wins.

    24 bytes an entry: sorted arrays, and a dict of the newest, merged in when it has `fresh`
    entries. Other threads may `get` while one sets.
    """

    def __init__(self, fresh: int = 2**18) -> None:
        self._limit = fresh
        self._fresh: dict[bytes, int] = {}
        self._sorted = np.empty(0, f"S{HASH_BYTES}"), np.empty(0, np.uint64)

    def __setitem__(self, digest: bytes, value: int) -> None:
        self._fresh[digest] = value
        if len(self._fresh) >= self._limit:
            self._merge()

    def get(self, digest: bytes) -> int | None:
        """Return the newest value of a digest, None if there is none."""
        value = self._fresh.get(digest)  # before the arrays, into which it may go meanwhile
        digests, values = self._sorted
        if value is not None or not len(digests):
            return value
        wanted = np.array(digest, digests.dtype)
        at = digests.searchsorted(wanted)
        return int(values[at]) if at < len(digests) and digests[at] == wanted else None

    @property
    def nbytes(self) -> int:
        """Return the size of the sorted arrays in bytes."""
        return sum(array.nbytes for array in self._sorted)

    def _merge(self) -> None:
        old_digests, old_values = self._sorted
        digests = np.fromiter(self._fresh, old_digests.dtype, len(self._fresh))
        values = np.fromiter(self._fresh.values(), np.uint64, len(self._fresh))
        order = np.argsort(digests)
        digests, values = digests[order], values[order]
        at = np.searchsorted(old_digests, digests)
        known = np.zeros(len(digests), np.bool_)
        inside = at < len(old_digests)
        known[inside] = old_digests[at[inside]] == digests[inside]
        old_values[at[known]] = values[known]
        self._sorted = (
            np.insert(old_digests, at[~known], digests[~known]),
            np.insert(old_values, at[~known], values[~known]),
        )
        self._fresh = {}


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored of some bytes: the descriptor, (D,), as rounded as stored, and the picture."""

    descriptor: Descriptor
    width: int | None
    height: int | None
    format: str | None
    frames: int | None = None
    content: int | None = None
    pixel_hash: bytes | None = None


class Ledger:
    """The images that a store holds, by name and by content; grows with `note`.

    Open it under the writer's lock, for it reads the store once:

        with ShardWriter(folder, provenance) as writer:
            ledger = Ledger(folder, provenance)
            ledger.note(rows, writer.add(rows))

    A task's ledger knows no shards of its fellow tasks, which hold none of its images.

    Raises: StoreError: a shard is damaged or cannot be read.
    Limits: 48 bytes an image, so 10 million take 0.5 GB; a process forked from this one sees
        what was noted before the fork.
    """

    def __init__(self, folder: Path, provenance: Provenance, task: Task | None = None) -> None:
        self._folder = folder
        self._provenance = provenance
        self._task = task
        self._stamps = DigestMap()  # name -> size and time of its newest row
        self._places = DigestMap()  # content -> shard << 32 | row in the shard
        self._failures = DigestMap()  # name -> why the newest row could not even be read
        self._reasons: dict[bytes, str] = {}  # name -> why the newest row holds no descriptor
        self.faults: set[str] = set()  # what was named by its absolute path and not even read
        self._open: dict[int, Known] = {}
        self._closed: dict[int, pa.Table] = {}
        self._earlier = shard_paths(folder, task)
        for number, path in enumerate(self._earlier, _EARLIER):
            self._load(number, path)

    def unchanged(self, name: bytes, file_bytes: int | None, mtime_ns: int | None) -> bool:
        """Say whether the newest row of an image was made from a file of this size and time.

        name: as from `name_digest`, here and below.
        True for an image found damaged, too: the same bytes stay damaged. False for a file that
        could not even be read, so that it is tried again. Where the size is not known, the time
        alone decides.
        """
        known = self._stamps.get(name)
        if mtime_ns is None or known in {None, _UNKNOWN}:
            return False
        if file_bytes is None:
            return known >> _SIZE_BITS == _stamp(mtime_ns, 0) >> _SIZE_BITS
        return known & ~_DAMAGED == _stamp(mtime_ns, file_bytes)

    def damaged(self, name: bytes) -> bool:
        """Say whether the newest row of an image that is `unchanged` holds no descriptor."""
        known = self._stamps.get(name)
        return known is not None and bool(known & _DAMAGED)

    def reason(self, name: bytes) -> str:
        """Return why the newest row of a damaged image says that it cannot be read."""
        return self._reasons.get(name, "damaged")

    def knows_failure(self, row: Row) -> bool:
        """Say whether an image's newest row says the same: as unreadable, for the same reason."""
        if not row.error:
            return False
        name = name_digest(row.source, row.id)
        failure = _failure(row.mtime_ns, row.file_bytes, printable(row.error))
        return self._stamps.get(name) == _UNKNOWN and self._failures.get(name) == failure

    def holds(self, content_hash: bytes) -> bool:
        """Say whether a file of these bytes has a descriptor."""
        return self._places.get(content_hash) is not None

    def held_at_start(self, content_hash: bytes) -> bool:
        """Say whether a file of these bytes had a descriptor when the ledger was opened.

        Unlike `holds` it answers the same all along, in this process and in forked ones.
        """
        place = self._places.get(content_hash)
        return place is not None and place >> 32 >= _EARLIER

    def known(self, content_hash: bytes) -> Known:
        """Return what is stored of a file's bytes.

        Raises: KeyError: no such descriptor. StoreError: its shard is damaged.
        """
        place = self._places.get(content_hash)
        if place is None:
            raise KeyError(content_hash)
        if place in self._open:
            return self._open[place]
        row = self._shard(place >> 32).slice(place & 0xFFFFFFFF, 1)
        descriptor = descriptor_values(row["descriptor"], self._provenance.dimensions)[0]
        return Known(descriptor, *(row[column][0].as_py() for column in _ORIGINAL))

    def note(self, rows: Sequence[Row], places: Iterable[int]) -> None:
        """Take in what was just added; places: as `ShardWriter.add` returned them."""
        for row, place in zip(rows, map(int, places), strict=True):
            name = name_digest(row.source, row.id)
            self._record(name, place, [getattr(row, column) for column in _FACTS])
            self._keep_open(place, row)

    def _keep_open(self, place: int, row: Row) -> None:
        if self._open and next(iter(self._open)) >> 32 != place >> 32:
            self._open = {}  # the writer went on to the next shard: the last one can be read
        if row.descriptor is not None:
            descriptor = row.descriptor.astype(self._provenance.dtype)
            self._open[place] = Known(descriptor, *(getattr(row, name) for name in _ORIGINAL))

    def _record(self, name: bytes, place: int, facts: Sequence[Any]) -> None:
        """Take in one row; facts: its values of `_FACTS`."""
        status, file_bytes, mtime_ns, content_hash, error = facts
        was_read = status == "ok" or content_hash is not None
        if was_read:
            stamp = _stamp(mtime_ns, file_bytes)
            self._stamps[name] = stamp if status == "ok" else stamp | _DAMAGED
            if status != "ok":
                self._reasons[name] = sys.intern(error or "")
        else:
            self._stamps[name] = _UNKNOWN
            self._failures[name] = _failure(mtime_ns, file_bytes, error)
        if status == "ok" and content_hash is not None and not self.holds(content_hash):
            self._places[content_hash] = place

    def _load(self, number: int, path: Path) -> None:
        table = read_shard(path, [*NAME_COLUMNS, *_FACTS])
        facts = zip(*(table[column].to_pylist() for column in _FACTS), strict=True)
        self.faults |= _unread_paths(table)
        rows = zip(name_digests(table), facts, strict=True)
        for place, (name, row) in enumerate(rows, number << 32):
            self._record(name, place, row)

    def _shard(self, number: int) -> pa.Table:
        """Read a closed shard, or have it still: the four last used are kept."""
        table = self._closed.pop(number, None)
        if table is None:
            table = read_shard(self._path(number), ["descriptor", *_ORIGINAL])
        self._closed[number] = table
        if len(self._closed) > _SHARDS_KEPT:
            del self._closed[next(iter(self._closed))]
        return table

    def _path(self, number: int) -> Path:
        if number >= _EARLIER:
            return self._earlier[number - _EARLIER]
        return shard_path(self._folder, number, self._task)


def _unread_paths(table: pa.Table) -> set[str]:
    """Return the ids of a shard's rows without a source whose file could not even be read."""
    import pyarrow.compute as pc

    unread = pc.and_(pc.equal(table["status"], "unreadable"), pc.is_null(table["content_hash"]))
    rows = table.filter(pc.and_(unread, pc.equal(table["source"], "")))
    return {os.fsdecode(id) for id in names_from_columns(rows, "id").to_pylist()}


def _stamp(mtime_ns: int | None, file_bytes: int | None) -> int:
    """Return one 64-bit number for a file's time and size, the upper bits the time's alone.

    Its last bit is free for `_DAMAGED`, unless it is `_UNKNOWN`.
    """
    if mtime_ns is None or file_bytes is None:
        return _UNKNOWN
    time = (mtime_ns * 0x9E3779B97F4A7C15 % 2**64) >> _SIZE_BITS
    size = (file_bytes * 0xC2B2AE3D27D4EB4F % 2**64) >> (64 - _SIZE_BITS) & ~_DAMAGED
    return min(time << _SIZE_BITS | size, _UNKNOWN - 3)


def _failure(*facts: int | str | None) -> int:
    """Return one 64-bit number for a file's time and size and why it could not be read."""
    return int.from_bytes(hashlib.blake2b(repr(facts).encode(), digest_size=8).digest(), "little")
