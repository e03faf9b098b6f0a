"""Leaks as commands of GitHub Actions, which become annotations of the run."""

from __future__ import annotations

from collections.abc import Iterator

from sscd_cli.reports.leaks.record import NEW, Leak, LeakReport
from sscd_cli.text import printable

MOST = 9  # GitHub shows ten annotations of a kind a step: these, and the verdict
_LEVELS = {"failed": "error", "warned": "warning", "passed": "notice"}


def github(report: LeakReport) -> Iterator[str]:
    """Yield the verdict as an annotation, and then the new leaks that matter most."""
    level = _LEVELS[report.verdict]
    yield _command(level, report.title, report.sentence)
    for leak in report.worst(MOST):
        if leak.status == NEW:
            yield _annotation(leak, "warning" if level == "notice" else level)
    if report.counts.new > MOST:
        yield f"{report.counts.new - MOST:,} images more; --format json names all\n"


def _annotation(leak: Leak, level: str) -> str:
    match = leak.match
    said = f"{match.path} is {match.other}: {match.band}, similarity {match.similarity:.3f}"
    return _command(level, "leak", said, file=match.path)


def _command(level: str, title: str, message: str, file: str = "") -> str:
    place = f"file={_property(file)}," if file else ""
    return f"::{level} {place}title={_property(title)}::{_data(message)}\n"


def _data(text: str) -> str:
    return printable(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
