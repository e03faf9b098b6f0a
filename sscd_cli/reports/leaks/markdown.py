"""Leaks as Markdown, for the summary of a step in CI or a comment."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from sscd_cli.reports.leaks.record import Leak, LeakReport
from sscd_cli.text import printable

MOST = 20


def markdown(report: LeakReport) -> Iterator[str]:
    """Yield the report; names from outside are code, in which nothing is markup."""
    yield f"### {report.title}\n\n{_plain(report.sentence)}\n\n| | |\n| --- | --- |\n"
    for name, value in report.facts():
        yield f"| {name} | {_plain(value)} |\n"
    leaks = report.worst(MOST + 1)
    if not leaks:
        return
    yield "\n| similarity | band | status | test image | like |\n| ---: | --- | --- | --- | --- |\n"
    yield from map(_row, leaks[:MOST])
    if len(leaks) > MOST:
        yield f"\nThe {MOST} that matter most; `--format json` names all.\n"


def _row(leak: Leak) -> str:
    match = leak.match
    ends = " | ".join(f"<code>{_plain(path)}</code>" for path in (match.path, match.other))
    return f"| {match.similarity:.3f} | {match.band} | {leak.status} | {ends} |\n"


def _plain(text: str) -> str:
    """Return text of which Markdown makes nothing else."""
    safe = escape(printable(text))
    for mark in "\\`*_[]|~":
        safe = safe.replace(mark, f"&#{ord(mark)};")
    return safe
