"""`sscd eval pairs`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

from sscd_cli.choices import PLAIN
from sscd_cli.cli import terminal
from sscd_cli.errors import printable
from sscd_cli.options import shared
from sscd_cli.options.evaluate import EvalPairsOptions
from sscd_cli.options.help import Help
from sscd_cli.text import counted

if TYPE_CHECKING:
    from sscd_cli.commands.evaluate.pairs import EvalPairsResult
    from sscd_cli.evaluation.pair_report import Point


def eval_pairs(
    options: EvalPairsOptions,
    format: Annotated[
        Literal["text", "json", "csv"], Help("text, json, or csv (the whole curve).", "-f")
    ] = "text",
    output: shared.ReportToWrite = None,
) -> None:
    """Measure precision and recall on pairs that you know.

    Example: sscd eval pairs truth.csv ./descriptors --plot curve.png
    """
    from sscd_cli.commands.evaluate import pairs as verb

    result = verb.run(options)
    lines = {"text": _text, "json": _json, "csv": _csv}[format](result)
    with terminal.report_stream(output) as stream:
        stream.write("".join(lines).encode("utf-8", "surrogateescape"))
    for path in options.plot:
        with terminal.report_stream(path, fix="name another file with --plot") as stream:
            stream.write(verb.draw(result, path))
    if result.left_out:
        terminal.warn(f"left out {counted(result.left_out, 'pairs')} with an unreadable image")


def _text(result: EvalPairsResult) -> Iterator[str]:
    report = result.report
    pairs = "pairs" if report.labelled else "most similar pairs"
    yield (
        f"{printable(result.model)}: {counted(len(report.scores), pairs)} "
        f"of {counted(result.images, 'images')}, "
        f"{counted(report.copies, 'copies')}, µAP {report.micro_ap:.4f}\n"
    )
    if result.scale != PLAIN:
        yield f"similarities: {printable(result.scale)}\n"
    heads = ("threshold", "precision", "recall", "F1", "pairs")
    yield f"\n{'':<20} " + " ".join(f"{head:>10}" for head in heads) + "\n"
    for name, point in _named(result):
        yield f"{printable(name):<20} {_cells(point)}\n"
    yield "\n"
    for point in report.over_thresholds():
        yield f"{'':<20} {_cells(point)}\n"
    if result.grouped:
        yield from _groups(result)


def _named(result: EvalPairsResult) -> Iterator[tuple[str, Point | None]]:
    """Yield the points that someone may ask for by name."""
    from sscd_cli.evaluation.pair_report import WANTED_PRECISIONS

    yield result.chosen_by, result.chosen
    for precision in WANTED_PRECISIONS:
        yield f"{precision:.0%} precision", result.report.at_precision(precision)
    yield "best F1", result.report.best_f1


def _cells(point: Point | None) -> str:
    if point is None:
        return f"{'never reached':>10}"
    shares = " ".join(_share(value) for value in (point.precision, point.recall, point.f1))
    return f"{point.threshold:>10.4f} {shares} {point.accepted:>10,}"


def _share(value: float | None) -> str:
    return f"{'–' if value is None else f'{value:.4f}':>10}"


def _groups(result: EvalPairsResult) -> Iterator[str]:
    """Yield the table of groups, at the chosen threshold."""
    groups = result.report.groups(result.chosen.threshold)
    width = max(20, *(len(printable(group.group)) for group in groups))
    yield (
        f"\n{f'group, at {result.chosen.threshold:.4f}':<{width}} {'precision':>10} {'recall':>10} "
        f"{'F1':>10} {'µAP':>10} {'pairs':>10} {'copies':>10}\n"
    )
    for group in groups:
        point = group.point
        shares = (point.precision, point.recall, point.f1, group.micro_ap)
        cells = " ".join(map(_share, shares))
        name = printable(group.group) or "(none)"
        yield f"{name:<{width}} {cells} {group.pairs:>10,} {group.copies:>10,}\n"


def _csv(result: EvalPairsResult) -> Iterable[str]:
    from sscd_cli.reports.formats import csv_lines

    points = (asdict(result.report.at(threshold)) for threshold in result.report.curve[2])
    return csv_lines(("threshold", "precision", "recall", "f1", "accepted"), points)


def _json(result: EvalPairsResult) -> Iterator[str]:
    report = result.report
    points = {name: point and asdict(point) for name, point in _named(result)}
    chosen = points.pop(result.chosen_by)
    groups = report.groups(result.chosen.threshold) if result.grouped else []
    record = {
        "model": result.model,
        "scale": result.scale,
        "images": result.images,
        "pairs": len(report.scores),
        "copies": report.copies,
        "left_out": result.left_out,
        "micro_ap": report.micro_ap,
        "chosen": {"by": result.chosen_by, **(chosen or {})},
        "operating_points": points,
        "thresholds": [asdict(point) for point in report.over_thresholds()],
        "groups": [asdict(group) for group in groups],
    }
    yield json.dumps(record) + "\n"
