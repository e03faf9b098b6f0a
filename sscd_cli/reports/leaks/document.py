"""Leaks as one JSON document: what was compared, the counts, the verdict, and every pair."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from sscd_cli.reports.leaks.record import LeakReport


def document(report: LeakReport) -> Iterator[str]:
    """Yield the document piece by piece, a line a leak."""
    head = {
        **report.header.record(),
        "test": report.test,
        "train": report.train,
        "verdict": report.verdict,
        "max_leakage": report.max_leakage,
        "warn_at": report.warn_at,
        **asdict(report.counts),
        "share": round(report.counts.share, 6),
    }
    yield json.dumps(head).removesuffix("}") + ', "leaks": ['
    for number, leak in enumerate(report.leaks()):
        yield ",\n" if number else "\n"
        yield json.dumps(leak.record())
    yield "\n]}\n"
