"""Leaks for people: each test image with its copies, and what that makes in all."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from sscd_cli.errors import printable
from sscd_cli.reports.leaks.record import NEW, GateReport, Leak, LeakReport


def text(report: GateReport) -> Iterator[str]:
    """Yield the report piece by piece; names are made printable."""
    for pair in report.pairs:
        yield from _pair(pair)
    yield from _table(report.table())


def _table(rows: list[list[str]]) -> Iterator[str]:
    """Yield the table of all sets in columns: numbers to the right."""
    if rows:
        yield "\nimages of each set with a copy in another\n"
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        yield f"  {printable(first):<{widths[0]}}  {printable('  '.join(cells))}\n"


def _pair(report: LeakReport) -> Iterator[str]:
    for path, leaks in groupby(report.leaks(), key=lambda leak: leak.match.path):
        yield f"{printable(path)}\n"
        yield from map(_line, leaks)
        yield "\n"
    yield f"{report.verdict}: {printable(report.sentence)}\n"
    for name, value in report.facts():
        yield f"  {name:<20}  {printable(value)}\n"


def _line(leak: Leak) -> str:
    match = leak.match
    status = "" if leak.status in (NEW, match.band) else f"  ({leak.status})"
    checked = "" if match.checked else "  (not checked)"
    other = printable(match.other)
    return f"  {match.similarity:.3f}  {match.band:<11}  {other}{status}{checked}\n"
