"""Write what a gate found in any format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from sscd_cli.reports.leaks.document import document
from sscd_cli.reports.leaks.github import github
from sscd_cli.reports.leaks.junit import junit
from sscd_cli.reports.leaks.markdown import markdown
from sscd_cli.reports.leaks.record import LeakReport
from sscd_cli.reports.leaks.sarif import sarif
from sscd_cli.reports.leaks.text import text

_WRITERS: dict[str, Callable[[LeakReport], Iterator[str]]] = {
    "text": text,
    "json": document,
    "junit": junit,
    "sarif": sarif,
    "markdown": markdown,
    "github": github,
}


def write_leaks(report: LeakReport, format: str, stream: BinaryIO) -> None:
    """Write a report to a binary stream in one of `choices.LeakFormat`."""
    for piece in _WRITERS[format](report):
        stream.write(piece.encode())
