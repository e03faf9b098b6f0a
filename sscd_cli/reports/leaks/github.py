"""Leaks as commands of GitHub Actions, which become annotations of the run."""

from __future__ import annotations

from collections.abc import Iterator

from sscd_cli.errors import printable
from sscd_cli.reports.leaks.record import NEW, GateReport, Leak

MOST = 10  # annotations of a kind that GitHub shows of a step: the verdicts, and leaks
_LEVELS = {"failed": "error", "warned": "warning", "passed": "notice"}


def github(report: GateReport) -> Iterator[str]:
    """Yield each verdict as an annotation, and then the new leaks that matter most."""
    for pair in report.pairs:
        yield _command(_LEVELS[pair.verdict], pair.title, pair.sentence)
    level = "error" if report.verdict == "failed" else "warning"
    most = MOST - len(report.pairs)
    for leak in report.worst(most):
        if leak.status == NEW:
            yield _annotation(leak, level)
    new = sum(pair.counts.new for pair in report.pairs)
    if new > most:
        yield f"{new - most:,} images more; --format json names all\n"


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
