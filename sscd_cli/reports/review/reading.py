"""A report of `sscd dedup`, read back cluster by cluster for the page."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, BinaryIO

from sscd_cli.reports.header import COMMENT, METADATA_KEY
from sscd_cli.reports.removals import refusing
from sscd_cli.reports.review.shown import NAMES, ShownCluster, clusters_of_matches

Record = Mapping[str, Any]
_PARSED: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("similarity", "weakest_link"), float),
    **dict.fromkeys(("width", "height", "file_bytes", "mtime_ns"), int),
    **dict.fromkeys(("other_width", "other_height", "other_file_bytes", "other_mtime_ns"), int),
    **dict.fromkeys(("keep", "checked"), "true".__eq__),
}
_COLUMNS = ("cluster", "weakest_link", "checked", "other", *NAMES, *(f"other_{n}" for n in NAMES))


@dataclass(frozen=True)
class Report:
    """Its first record, and its clusters while they are read.

    Iterating raises SscdError where the report is damaged or cut.
    """

    header: Record
    clusters: Iterator[ShownCluster]


def read_report(stream: BinaryIO, name: str) -> Report:
    """Begin to read a report of clusters or matches in JSON Lines, CSV or Parquet.

    JSON Lines are read as they come, the others as a whole.

    Args: name: of the file, for errors.
    Raises: SscdError: it is no such report.
    """
    with refusing(name, "sscd dedup"):
        header, records = _read(stream)
    if header.get("report") == "matches":
        return Report(header, _refused_later(_matches(header, records), name))
    return Report(header, _refused_later(_clusters(header, records), name))


def _read(stream: BinaryIO) -> tuple[Record, Iterator[Record]]:
    """Return the header, and clusters of JSON Lines or the rows of the others."""
    first = stream.readline()
    if first.startswith(b"PAR1"):
        return _read_parquet(first + stream.read())
    comment = COMMENT.encode()
    if first.startswith(comment):
        lines = (line.decode("utf-8", "surrogateescape") for line in stream)
        rows = csv.DictReader(lines, strict=True)
        return _object(first.removeprefix(comment)), map(_parsed, rows)
    if not first:
        raise EOFError("it is empty, no run of sscd dedup ended")
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


def _object(line: bytes) -> Record:
    if not line.endswith(b"\n"):
        raise EOFError("its last line has no end")
    found = json.loads(line.decode("utf-8", "surrogateescape"))
    if not isinstance(found, dict):
        raise ValueError("a line is no JSON object")
    return found


def _parsed(row: dict[str, str]) -> Record:
    return {**row, **{name: kind(row[name]) for name, kind in _PARSED.items() if row.get(name)}}


def _clusters(header: Record, records: Iterable[Record]) -> Iterator[ShownCluster]:
    members = 0
    for record in _gathered(records):
        cluster = ShownCluster.of(record)
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


def _matches(header: Record, records: Iterable[Record]) -> Iterator[ShownCluster]:
    count = 0

    def counted() -> Iterator[Record]:
        nonlocal count
        for record in records:
            count += 1
            yield record

    yield from clusters_of_matches(counted())
    if count != header["matches"]:
        raise EOFError(f"it holds {count} matches of {header['matches']}")


def _refused_later(clusters: Iterator[ShownCluster], name: str) -> Iterator[ShownCluster]:
    with refusing(name, "sscd dedup"):
        yield from clusters
