"""Clusters as text, HTML, JSON Lines, CSV, Parquet and bare paths."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, BinaryIO

from sscd_cli.choices import OTHER_SHOT
from sscd_cli.descriptors.tables import write_table
from sscd_cli.errors import UsageError, printable
from sscd_cli.images.status import is_file
from sscd_cli.reports.clusters import Cluster, ExplainedMember, Member
from sscd_cli.reports.header import COMMENT, Header
from sscd_cli.reports.reported import Decide, ReportedCluster, record_of, undecided
from sscd_cli.reports.review.page import page
from sscd_cli.text import bytes_text, counted


def write_clusters(
    clusters: Iterable[Cluster],
    header: Header,
    format: str,
    stream: BinaryIO,
    *,
    null: bool = False,
    explained: bool = False,
    base: str = ".",
    decide: Decide = undecided,
) -> None:
    """Write clusters to a binary stream, one by one but for Parquet and HTML.

    text: for people, names made printable. html: the page to decide on. jsonl: one object
    a cluster. csv, parquet: one row an image. These three begin with the header. paths: the
    removable files, one a line, or NUL-separated with `null`; what is in an archive or on a
    server is no file. A name that is not UTF-8 keeps its bytes in csv and paths, and is escaped
    as `\\udcXX` in JSON.
    explained: all members are `ExplainedMember`, which csv and parquet have a column for.
    base: the working directory as seen from where the page will lie. decide: what it begins with.

    Raises: UsageError: a path holds a line break and `null` is not given.
    """
    columns = (*COLUMNS, "explanation") if explained else COLUMNS
    if format == "parquet":
        write_parquet(stream, header, columns, rows_of(clusters))
        return
    pieces: dict[str, Callable[[], Iterator[str]]] = {
        "text": lambda: _text(clusters),
        "html": lambda: _page(clusters, header, base, decide),
        "jsonl": lambda: json_lines(header, clusters),
        "csv": lambda: csv_report(header, columns, rows_of(clusters)),
        "paths": lambda: _paths(clusters, null),
    }
    for piece in pieces[format]():
        stream.write(piece.encode("utf-8", "surrogateescape"))


def _text(clusters: Iterable[Cluster]) -> Iterator[str]:
    for number, cluster in enumerate(clusters):
        yield "\n" if number else ""
        yield f"{_title(cluster)}\n"
        head = ""
        for member in cluster.members:
            head = member.path if member.keeper == member.path else head
            yield _text_line(member, head)
            if isinstance(member, ExplainedMember) and member.explanation:
                yield f"{'':>9}{printable(member.explanation)}\n"


def _text_line(member: Member, head: str) -> str:
    """Return the line of an image; what goes for another one than `head`, above it, says so."""
    verdict = f"{_verdict(member):7} {member.similarity:.3f}"
    if _verdict(member) == "keep":
        verdict = "keep         "
    size = f"{_pixels(member):>11}  {bytes_text(member.file_bytes):>8}"
    why = OTHER_SHOT if member.verdict == OTHER_SHOT else member.reason
    if not member.keep and member.keeper != head:
        why = "; ".join(filter(None, (why, f"for {printable(member.keeper)}")))
    return f"  {verdict}  {size}  {printable(member.path)}{f'  ({why})' if why else ''}\n"


def _verdict(member: Member) -> str:
    if not member.keep:
        return "remove"
    return "look at" if member.band else "keep"


def _title(cluster: Cluster) -> str:
    count = counted(len(cluster.members), "images")
    return f"cluster {cluster.cluster}  {count}, weakest link {cluster.weakest_link:.3f}"


def _pixels(member: Member) -> str:
    return f"{member.width}×{member.height}" if member.width else ""


def _page(clusters: Iterable[Cluster], header: Header, base: str, decide: Decide) -> Iterator[str]:
    shown = (
        ReportedCluster.of({**record_of(cluster), "members": map(record_of, cluster.members)})
        for cluster in clusters
    )
    return page({**header.record(), "base": base}, shown, decide=decide)


def json_lines(header: Header, records: Iterable[Any]) -> Iterator[str]:
    """Yield a report of data classes as JSON Lines, from its header to its end."""
    yield header.line()
    yield from (json.dumps(record, default=record_of) + "\n" for record in records)
    yield header.end()


def csv_report(
    header: Header, columns: Iterable[str], rows: Iterable[dict[str, Any]]
) -> Iterator[str]:
    """Yield a report as CSV below a line that is its header; the counts in it tell a cut one."""
    yield COMMENT + header.line()
    yield from csv_lines(columns, rows)


def rows_of(clusters: Iterable[Cluster]) -> Iterator[dict[str, Any]]:
    """Yield one flat record an image: the cluster's name and weakest link, it, and the scale."""
    for cluster in clusters:
        for member in cluster.members:
            yield {
                "cluster": cluster.cluster,
                "weakest_link": cluster.weakest_link,
                **record_of(member),
                "scale": cluster.scale,
            }


COLUMNS = ("cluster", "weakest_link", *(field.name for field in fields(Member)), "scale")


def csv_lines(columns: Iterable[str], rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a CSV file (RFC 4180, but with bare line feeds)."""
    buffer = io.StringIO()
    # the line end says what is quoted: a carriage return in a name must be, too
    writer = csv.DictWriter(buffer, list(columns), lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        yield _taken(buffer)
        writer.writerow({k: str(v).lower() if isinstance(v, bool) else v for k, v in row.items()})
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> str:
    """Empty a buffer of the line that it holds, and return that with a bare line feed."""
    line = buffer.getvalue().removesuffix("\r\n")
    buffer.seek(0)
    buffer.truncate()
    return f"{line}\n"


def _paths(clusters: Iterable[Cluster], null: bool) -> Iterator[str]:
    gone = (m for cluster in clusters for m in cluster.members if not m.keep)
    paths = (member.path for member in gone if is_file(member.source, member.id))
    yield from path_lines(paths, null)


def path_lines(paths: Iterable[str], null: bool) -> Iterator[str]:
    """Yield each path with its separator: a NUL as they come, or a line feed at the end of all.

    Raises: UsageError: a path holds a line feed, which would make it two. Nothing is yielded then.
    """
    if null:
        yield from (f"{path}\0" for path in paths)
        return
    lines = []
    for path in paths:
        if "\n" in path:
            what = f"the path {path} holds a line break"
            raise UsageError(what, "add -0 for NUL-separated paths")
        lines.append(f"{path}\n")
    yield "".join(lines)


def write_parquet(
    stream: BinaryIO, header: Header, names: Sequence[str], rows: Iterable[dict[str, Any]]
) -> None:
    """Write a report as one Parquet file, its header in the metadata of the schema."""
    write_table(stream, columns_of(rows, names), header.metadata())


def columns_of(
    rows: Iterable[dict[str, Any]], names: Sequence[str] = COLUMNS
) -> dict[str, list[Any]]:
    """Return records column by column."""
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for row in rows:
        for name, value in row.items():
            columns[name].append(value)
    return columns
