"""`sscd eval self`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Literal

from sscd_cli.choices import PLAIN
from sscd_cli.cli import terminal
from sscd_cli.cli.models import fetch_if_missing
from sscd_cli.options.evaluate import EvalSelfOptions
from sscd_cli.options.help import Help
from sscd_cli.text import counted

if TYPE_CHECKING:
    from sscd_cli.commands.evaluate.self_copies import EvalSelfResult
    from sscd_cli.evaluation.copies_report import CopiesReport


def eval_self(
    options: EvalSelfOptions,
    format: Annotated[Literal["text", "json"], Help("text or json.", "-f")] = "text",
) -> None:
    """Tell how many of fifty edited copies of each image are found.

    Example: sscd eval self ./photos
    """
    from sscd_cli.commands.evaluate import self_copies as verb

    fetch_if_missing(options.model)
    result = verb.run(options)
    lines = [_json(result)] if format == "json" else _table(result)
    terminal.print_lines(lines)
    if result.unreadable:
        terminal.note(f"left out {counted(result.unreadable, 'unreadable images')}")


def _table(result: EvalSelfResult) -> Iterator[str]:
    report = result.report
    yield (
        f"{result.model} ({result.precision}): {counted(result.originals, 'originals')}, "
        f"{counted(result.distractors, 'distractors')}, {counted(report.total.copies, 'copies')}"
    )
    if result.scale != PLAIN:
        yield f"similarities: {result.scale}"
    yield f"{'edit':<20} {'strength':<16} {'recall':>7} {'µAP':>7} {'first':>7}"
    for row in (*report.rows, report.total):
        yield (
            f"{row.edit:<20} {row.strength:<16} {row.recall:>7.3f} {row.micro_ap:>7.3f} "
            f"{row.accuracy_at_1:>7.3f}"
        )
    reached = _reached(report)
    where = (
        "which no threshold reaches" if reached is None else f"which is at threshold {reached:.4f}"
    )
    yield f"recall at {report.precision:.0%} precision, {where}; first: the original is the nearest"
    for threshold in (reached, result.threshold):
        if threshold is None:
            continue
        yield (
            f"at threshold {threshold:.4f}: recall {report.recall_at(threshold):.3f}, "
            f"{report.false_pairs_per_1000(threshold):.2f} pairs of different originals "
            "for 1,000 originals"
        )


def _reached(report: CopiesReport) -> float | None:
    """Return from where on the wanted precision holds; None where it nowhere does."""
    return report.threshold if isfinite(report.threshold) else None


def _json(result: EvalSelfResult) -> str:
    report = result.report
    return json.dumps(
        {
            "model": result.model,
            "precision": result.precision,
            "scale": result.scale,
            "originals": result.originals,
            "distractors": result.distractors,
            "unreadable": result.unreadable,
            "copies": report.total.copies,
            "micro_ap": report.micro_ap,
            "recall": report.recall,
            "threshold": _reached(report),
            "edits": [asdict(row) for row in report.rows],
            "by_edit": [asdict(row) for row in report.by_name],
        }
    )
