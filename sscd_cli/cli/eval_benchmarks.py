"""`sscd eval disc` and `sscd eval copydays`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from sscd_cli.cli import terminal
from sscd_cli.cli.models import fetch_if_missing
from sscd_cli.errors import printable
from sscd_cli.options.evaluate import EvalCopydaysOptions, EvalDiscOptions
from sscd_cli.options.help import Help
from sscd_cli.options.shared import ReportToWrite
from sscd_cli.text import counted

if TYPE_CHECKING:
    from sscd_cli.commands.evaluate.copydays import EvalCopydaysResult
    from sscd_cli.commands.evaluate.disc import EvalDiscResult


@dataclass(frozen=True)
class _Figures:
    """How and where the figures are written."""

    format: Annotated[
        Literal["text", "json", "csv"], Help("text, json, or the reference's csv.", "-f")
    ] = "text"
    output: ReportToWrite = None
    metadata: Annotated[str, Help("What a last column of the csv says.")] = ""

    def write(self, result: Any, table: Iterator[str], records: Iterator[dict[str, Any]]) -> None:
        """Write a result whole, as its table, or as the records of the reference's file."""
        lines: Iterable[str] = (f"{printable(line)}\n" for line in table)
        if self.format == "json":
            lines = [json.dumps(asdict(result)) + "\n"]
        elif self.format == "csv":
            last = {"metadata": self.metadata} if self.metadata else {}
            rows = [record | last for record in records]
            from sscd_cli.reports.formats import csv_lines

            lines = csv_lines(rows[0], rows)
        with terminal.report_stream(self.output) as stream:
            stream.write("".join(lines).encode())


def eval_disc(options: EvalDiscOptions, target: _Figures) -> None:
    """Run the DISC2021 benchmark of the paper.

    Example: sscd eval disc ./disc -m sscd_disc_mixup

    Of which reference is each query a copy, if of any?
    """
    from sscd_cli.commands.evaluate import disc as verb

    fetch_if_missing(options.model)
    result = verb.run(options)
    target.write(result, _disc_table(result), _disc_records(result))
    if result.absent:
        terminal.warn(
            f"counted as missed, for an image is not there: {result.absent:,} of "
            f"{counted(result.positives, 'matches')}"
        )
    _tell_unreadable(result.unreadable)


def eval_copydays(options: EvalCopydaysOptions, target: _Figures) -> None:
    """Run the Copydays benchmark of the paper.

    Example: sscd eval copydays ./copydays -m sscd_disc_mixup

    Is the original of each copy found, among distractors?
    """
    from sscd_cli.commands.evaluate import copydays as verb

    fetch_if_missing(options.model)
    result = verb.run(options)
    target.write(result, _copydays_table(result), _copydays_records(result))
    _tell_unreadable(result.unreadable)


def _tell_unreadable(count: int) -> None:
    if count:
        terminal.warn(f"left out {counted(count, 'unreadable images')}")


def _disc_records(result: EvalDiscResult) -> Iterator[dict[str, Any]]:
    """Yield what the reference's disc_metrics.csv says, under its names."""
    for row in result.rows:
        yield {
            "codec": row.codec,
            "score_norm": row.score_norm,
            "uAP": row.figures.micro_ap,
            "accuracy-at-1": row.figures.accuracy_at_1,
            "recall-at-p90": row.figures.recall_at_p90,
        }


def _disc_table(result: EvalDiscResult) -> Iterator[str]:
    yield (
        f"{result.model}: {counted(result.queries, 'queries')}, "
        f"{counted(result.references, 'references')}, "
        f"{counted(result.training, 'training images')}, {counted(result.positives, 'matches')}"
    )
    yield (
        f"{'codec':<24} {'score norm':<12} {'µAP':>7} {'accuracy@1':>11} "
        f"{'recall@P90':>11} {'threshold':>10}"
    )
    for row in result.rows:
        figures = row.figures
        yield (
            f"{row.codec:<24} {row.score_norm.lower():<12} {figures.micro_ap:>7.4f} "
            f"{figures.accuracy_at_1:>11.4f} {figures.recall_at_p90:>11.4f} "
            f"{'none' if figures.threshold is None else f'{figures.threshold:.4f}':>10}"
        )
    yield "recall@P90: recall where 90 % of the matches found are right, from that threshold on"


def _copydays_records(result: EvalCopydaysResult) -> Iterator[dict[str, Any]]:
    """Yield what the reference's copydays_metrics.csv says, under its names."""
    for row in result.rows:
        yield {
            "codec": row.codec,
            "strong_mAP": row.figures.strong_map,
            "overall_uAP": row.figures.overall_micro_ap,
        }


def _copydays_table(result: EvalCopydaysResult) -> Iterator[str]:
    yield (
        f"{result.model}: {counted(result.queries, 'queries')}, "
        f"{counted(result.originals, 'originals')}, "
        f"{counted(result.distractors, 'distractors')}, "
        f"{counted(result.training, 'training images')}"
    )
    yield f"{'codec':<24} {'strong mAP':>11} {'overall µAP':>12}"
    for row in result.rows:
        figures = row.figures
        yield f"{row.codec:<24} {figures.strong_map:>11.4f} {figures.overall_micro_ap:>12.4f}"
    yield ""
    yield f"{'mAP of':<24} " + " ".join(f"{row.codec:>20}" for row in result.rows)
    for block in result.rows[0].figures.block_map:
        cells = (f"{row.figures.block_map[block]:>20.4f}" for row in result.rows)
        yield f"{block:<24} " + " ".join(cells)
