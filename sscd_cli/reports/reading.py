"""A report of `sscd dedup`, read back record by record from the formats that programs read.

Nothing is taken for a whole report that is none: it begins with its header, holds as much as that
says, and names what stays for each image that goes.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from sscd_cli.errors import SscdError, reason_of
from sscd_cli.reports.header import COMMENT, METADATA_KEY
from sscd_cli.reports.reported import NAMES, Record, ReportedCluster, ReportedMatch
from sscd_cli.text import from_json

T = TypeVar("T")
_PARSED: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("similarity", "weakest_link"), float),
    **dict.fromkeys(("width", "height", "file_bytes", "mtime_ns"), int),
    **dict.fromkeys(("other_width", "other_height", "other_file_bytes", "other_mtime_ns"), int),
    **dict.fromkeys(("keep", "checked"), {"true": True, "false": False}.get),
}
_COLUMNS = ("cluster", "weakest_link", "checked", "other", *NAMES, *(f"other_{n}" for n in NAMES))


@dataclass(frozen=True)
class Report:
    """A report while it is read. name: of its file, for errors. header: its first record."""

    name: str
    header: Record
    records: Iterator[Record]

    @property
    def of_matches(self) -> bool:
        """Say whether it tells of matches between two datasets, and not of clusters in one."""
        return bool(self.header["report"] == "matches")

    def clusters(self) -> Iterator[ReportedCluster]:
        """Yield the clusters, once. Raises: SscdError: the report is damaged or cut."""
        return _refused_later(_clusters(self.header, self.records), self.name)

    def matches(self) -> Iterator[ReportedMatch]:
        """Yield the matches, once. Raises: SscdError: the report is damaged or cut."""
        return _refused_later(_matches(self.header, self.records), self.name)


@contextmanager
def opened(place: Path) -> Iterator[BinaryIO]:
    """Open the report at a place, or on stdin where that is "-".

    Raises: SscdError: it cannot be read.
    """
    if str(place) == "-":
        if sys.stdin is None:
            raise SscdError("stdin is closed", "pipe a report into the command")
        yield sys.stdin.buffer
        return
    try:
        stream = place.open("rb")
    except OSError as error:
        what = f"cannot read {place}: {reason_of(error)}"
        raise SscdError(what, "name a report of sscd dedup") from None
    with stream:
        yield stream


def read_report(stream: BinaryIO, place: Path) -> Report:
    """Begin to read a report of clusters or matches: JSON Lines, CSV or Parquet.

    The last of these is read as a whole, the others as they come.

    Args: place: where it lies, for errors.
    Raises: SscdError: it is no such report.
    """
    name = "the report on stdin" if str(place) == "-" else str(place)
    with refusing(name):
        header, records = _read(stream)
        if header.get("report") not in ("clusters", "matches"):
            raise ValueError(f"its records are {header.get('report', 'of another kind')}")
    return Report(name, header, records)


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Say of a report that is damaged what is wrong with it.

    Raises: SscdError: for what reading a record raises.
    """
    again = "run sscd dedup again with -f jsonl -o FILE"
    try:
        yield
    except EOFError as error:
        raise SscdError(f"{name} is cut: {error}", again) from None
    except OSError as error:
        raise SscdError(f"cannot read {name}: {reason_of(error)}", again) from None
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise SscdError(f"{name} is no whole report of sscd dedup: {reason}", again) from None


def _read(stream: BinaryIO) -> tuple[Record, Iterator[Record]]:
    """Return the header, and clusters of JSON Lines or the rows of the others."""
    first = stream.readline()
    if first.startswith(b"PAR1"):
        return _read_parquet(first + stream.read())
    comment = COMMENT.encode()
    if first.startswith(comment):
        rows = csv.DictReader(map(_text, stream), strict=True)
        return _object(first.removeprefix(comment)), map(_parsed, rows)
    if not first:
        raise ValueError("it is empty, no run of that ended")
    if not first.startswith(b"{"):
        raise ValueError("it has no first record (text, html and paths have none)")
    return _object(first), _json_records(stream)


def _read_parquet(data: bytes) -> tuple[Record, Iterator[Record]]:
    from sscd_cli.descriptors.tables import read_table

    columns, metadata = read_table(data, _COLUMNS)
    if METADATA_KEY not in metadata:
        raise ValueError("its schema does not say what was compared")
    rows = zip(*columns.values(), strict=True)
    return _object(metadata[METADATA_KEY]), (dict(zip(columns, row, strict=True)) for row in rows)


def _json_records(stream: BinaryIO) -> Iterator[Record]:
    """Yield the records between the first and the last. Raises: EOFError: that is missing."""
    for line in stream:
        record = _object(line)
        if record.get("end") is True:
            return
        yield record
    raise EOFError("its last record is missing")


def _text(line: bytes) -> str:
    if not line.endswith(b"\n"):
        raise EOFError("its last line has no end")
    return line.decode("utf-8", "surrogateescape")


def _object(line: bytes) -> Record:
    found = from_json(_text(line), parse_constant=_refuse_constant)
    if not isinstance(found, dict):
        raise ValueError("a line is no JSON object")
    return found


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _parsed(row: dict[str, str]) -> Record:
    return {**row, **{name: kind(row[name]) for name, kind in _PARSED.items() if row.get(name)}}


def _clusters(header: Record, records: Iterable[Record]) -> Iterator[ReportedCluster]:
    members = 0
    for record in _gathered(records):
        cluster = ReportedCluster.of(record)
        cluster.keepers()
        members += len(cluster.images)
        yield cluster
    if members != header["members"]:
        raise EOFError(f"it holds {members} images of {header['members']}")


def _gathered(records: Iterable[Record]) -> Iterator[Record]:
    """Put the rows of a cluster together where they are not yet."""
    for name, group in groupby(records, key=lambda record: record["cluster"]):
        rows = list(group)
        if "members" in rows[0]:
            yield from rows
        else:
            link = rows[0]["weakest_link"]
            yield {"cluster": name, "weakest_link": link, "members": rows}


def _matches(header: Record, records: Iterable[Record]) -> Iterator[ReportedMatch]:
    count = 0
    for record in records:
        yield ReportedMatch.of(record)
        count += 1
    if count != header["matches"]:
        raise EOFError(f"it holds {count} matches of {header['matches']}")


def _refused_later(records: Iterator[T], name: str) -> Iterator[T]:
    with refusing(name):
        yield from records
