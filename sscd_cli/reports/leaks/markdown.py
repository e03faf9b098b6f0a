"""Leaks as Markdown, for the summary of a step in CI or a comment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape

from sscd_cli.errors import printable
from sscd_cli.reports.leaks.record import GateReport, Leak, LeakReport

MOST = 20

# the address of a small picture of an image by its source, id and content; "" where there is none
Shown = Callable[[str, str, str], str]


def nothing(source: str, id: str, content_hash: str) -> str:
    """Show no picture."""
    return ""


def markdown(report: GateReport, shown: Shown = nothing) -> Iterator[str]:
    """Yield the report; names from outside are code, in which nothing is markup."""
    yield from _table(report.table())
    for pair in report.pairs:
        yield from _pair(pair, shown)


def _table(rows: list[list[str]]) -> Iterator[str]:
    """Yield the table of all sets."""
    for number, row in enumerate(rows):
        yield f"| {' | '.join(map(_plain, row))} |\n"
        if number == 0:
            yield f"| --- |{' ---: |' * (len(row) - 1)}\n"
    if rows:
        yield "\nImages of each set with a copy in another.\n\n"


def _pair(report: LeakReport, shown: Shown) -> Iterator[str]:
    yield f"### {report.title}\n\n{_plain(report.sentence)}\n\n| | |\n| --- | --- |\n"
    for name, value in report.facts():
        yield f"| {name} | {_plain(value)} |\n"
    leaks = report.worst(MOST + 1)
    if leaks:
        yield "\n| similarity | band | status | test image | like |\n"
        yield "| ---: | --- | --- | --- | --- |\n"
        yield from (_row(leak, shown) for leak in leaks[:MOST])
    if len(leaks) > MOST:
        yield f"\nThe {MOST} that matter most; `--format json` names all.\n"


def _row(leak: Leak, shown: Shown) -> str:
    match = leak.match
    ours = _image(match.path, shown(match.source, match.id, match.content_hash))
    like = shown(match.other_source, match.other_id, match.other_content_hash)
    ends = f"{ours} | {_image(match.other, like)}"
    return f"| {match.similarity:.3f} | {match.band} | {leak.status} | {ends} |\n"


def _image(path: str, address: str) -> str:
    picture = f'<img src="{escape(address)}" alt=""><br>' if address else ""
    return f"{picture}<code>{_plain(path)}</code>"


def _plain(text: str) -> str:
    """Return text of which Markdown makes nothing else."""
    safe = escape(printable(text))
    for mark in "\\`*_[]|~":
        safe = safe.replace(mark, f"&#{ord(mark)};")
    return safe
