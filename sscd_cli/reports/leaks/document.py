"""Leaks as one JSON document: what was compared, the counts, the verdict, and every pair.

Of more than two sets it is one of such documents, in `splits`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from sscd_cli.reports.leaks.record import GateReport, LeakReport
from sscd_cli.text import TOOL


def document(report: GateReport) -> Iterator[str]:
    """Yield the document piece by piece, a line a leak."""
    if len(report.pairs) == 1:
        yield from _pair(report.pairs[0])
        return
    head = {**TOOL, "report": "leaks", "verdict": report.verdict}
    yield json.dumps(head).removesuffix("}") + ', "splits": [\n'
    for number, pair in enumerate(report.pairs):
        yield ",\n" if number else ""
        yield "".join(_pair(pair)).rstrip("\n")
    yield "\n]}\n"


def _pair(report: LeakReport) -> Iterator[str]:
    head = {
        **report.header.record(),
        "test": report.test,
        "train": report.train,
        "verdict": report.verdict,
        "max_leakage": report.max_leakage,
        "warn_at": report.warn_at,
        **asdict(report.counts),
        "share": round(report.counts.share, 6),
        "expected_by_chance": report.expected,
    }
    yield json.dumps(head).removesuffix("}") + ', "leaks": ['
    for number, leak in enumerate(report.leaks()):
        yield ",\n" if number else "\n"
        yield json.dumps(leak.record())
    yield "\n]}\n"
