"""Leaks as commands of GitHub Actions, which become annotations of the run."""

from __future__ import annotations

from collections.abc import Iterator

from sscd_cli.errors import printable
from sscd_cli.reports.leaks.record import NEW, GateReport
from sscd_cli.text import counted

MOST = 10  # annotations of a kind that GitHub shows of a step: the verdicts, and leaks
_LEVELS = {"failed": "error", "warned": "warning", "passed": "notice"}


def github(report: GateReport) -> Iterator[str]:
    """Yield each verdict as an annotation, and then the new leaks that matter most."""
    for pair in report.pairs:
        yield _command(_LEVELS[pair.verdict], pair.title, pair.sentence)
    level = "error" if report.verdict == "failed" else "warning"
    shown = [leak for leak in report.worst(MOST - len(report.pairs)) if leak.status == NEW]
    for leak in shown:
        yield _command(level, "leak", leak.sentence, file=leak.match.path)
    leaking = {leak.match.path for leak in report.leaks() if leak.status == NEW}
    if more := leaking - {leak.match.path for leak in shown}:
        yield f"{counted(len(more), 'images')} more; --format json names all\n"


def _command(level: str, title: str, message: str, file: str = "") -> str:
    place = f"file={_property(file)}," if file else ""
    return f"::{level} {place}title={_property(title)}::{_data(message)}\n"


def _data(text: str) -> str:
    return printable(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
