"""`sscd eval disc` and `sscd eval copydays`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sscd_cli.cli import arguments as words
from sscd_cli.cli import terminal
from sscd_cli.cli.models import fetch_if_missing
from sscd_cli.options import EvalCopydaysOptions, EvalDiscOptions, check_word
from sscd_cli.reports.formats import csv_lines

if TYPE_CHECKING:
    from sscd_cli.eval_copydays import EvalCopydaysResult
    from sscd_cli.eval_disc import EvalDiscResult

_disc = EvalDiscOptions(path=Path())
_copydays = EvalCopydaysOptions(path=Path())
_copydays_codecs = ";".join(_copydays.codecs)

Descriptors = Annotated[
    Path,
    words.option("Where images are embedded, a dataset for each set.", "--descriptors", "-d"),
]
_CODECS = "Post-processing as FAISS names it, such as 'Flat;PCAW256,L2norm,Flat'"
Format = Annotated[str, words.option("text, json, or the reference's csv.", "--format", "-f")]
Metadata = Annotated[
    str, words.option("What a last column of the csv says.", "--metadata", show_default=False)
]
K = Annotated[int, words.option("Nearest references of a query that count.", "-k", "--k")]


def eval_disc(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The benchmark's folder.", show_default=False)
    ],
    queries: Annotated[
        Path, words.option("Images or descriptors, a folder in PATH.", "--queries")
    ] = _disc.queries,
    references: Annotated[Path, words.option("The same.", "--references")] = _disc.references,
    training: Annotated[
        Path, words.option("The same; codecs and score normalisation need it.", "--training")
    ] = _disc.training,
    truth: Annotated[
        Path, words.option("Lines QUERY,REFERENCE: a CSV file in PATH.", "--truth")
    ] = _disc.truth,
    codecs: Annotated[
        str,
        words.option(f"{_CODECS}; by default Flat and whitening.", "--codecs", show_default=False),
    ] = "",
    score_norm: Annotated[
        str,
        words.option("Tried beside none, as WEIGHT[FIRST,LAST];…, or '' for none.", "--score-norm"),
    ] = ";".join(_disc.score_norm),
    k: K = _disc.k,
    global_candidates: Annotated[
        bool,
        words.option("The best pairs overall instead, K for each query.", "--global-candidates"),
    ] = _disc.global_candidates,
    descriptors: Descriptors = _disc.descriptors,
    format: Format = "text",
    output: words.Output = None,
    metadata: Metadata = "",
    model: words.Model = _disc.model,
    device: words.Device = _disc.device,
    precision: words.Precision = _disc.precision,
    batch_size: words.BatchSize = _disc.batch_size,
    workers: words.Workers = _disc.workers,
    quiet: words.Quiet = False,
    debug: words.Debug = False,
) -> None:
    """Run the DISC2021 benchmark: which reference is each query a copy of?"""
    check_word("format", format, ("text", "json", "csv"))
    from sscd_cli import eval_disc as verb

    fetch_if_missing(model)
    lists = {"codecs": _listed(codecs), "score_norm": _listed(score_norm)}
    options = words.chosen(EvalDiscOptions, {**locals(), **lists})
    with terminal.embed_progress() as progress:
        result = verb.run(options, progress)
    _write(
        format,
        output,
        text=_disc_table(result),
        record=asdict(result),
        csv=_with_metadata(_disc_records(result), metadata),
    )
    if result.absent:
        terminal.warn(
            f"{result.absent:,} of {result.positives:,} matches name an image that is not there; "
            "they count as missed"
        )
    _tell_unreadable(result.unreadable)


def eval_copydays(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="The folder with original, strong, crops and jpegqual, or its descriptors.",
            show_default=False,
        ),
    ],
    distractors: Annotated[
        Path | None,
        words.option("More images or descriptors to search among.", "--distractors"),
    ] = _copydays.distractors,
    training: Annotated[
        Path | None, words.option("Images or descriptors that codecs learn from.", "--training")
    ] = _copydays.training,
    codecs: Annotated[str, words.option(f"{_CODECS}.", "--codecs")] = _copydays_codecs,
    k: K = _copydays.k,
    descriptors: Descriptors = _copydays.descriptors,
    format: Format = "text",
    output: words.Output = None,
    metadata: Metadata = "",
    model: words.Model = _copydays.model,
    device: words.Device = _copydays.device,
    precision: words.Precision = _copydays.precision,
    batch_size: words.BatchSize = _copydays.batch_size,
    workers: words.Workers = _copydays.workers,
    quiet: words.Quiet = False,
    debug: words.Debug = False,
) -> None:
    """Run the Copydays benchmark: is the original of each copy found?"""
    check_word("format", format, ("text", "json", "csv"))
    from sscd_cli import eval_copydays as verb

    fetch_if_missing(model)
    options = words.chosen(EvalCopydaysOptions, {**locals(), "codecs": _listed(codecs)})
    with terminal.embed_progress() as progress:
        result = verb.run(options, progress)
    _write(
        format,
        output,
        text=_copydays_table(result),
        record=asdict(result),
        csv=_with_metadata(_copydays_records(result), metadata),
    )
    _tell_unreadable(result.unreadable)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(";") if word.strip())


def _tell_unreadable(count: int) -> None:
    if count:
        terminal.warn(f"{count:,} unreadable images were left out")


def _write(
    format: str,
    output: Path | None,
    *,
    text: Iterator[str],
    record: dict[str, Any],
    csv: Sequence[dict[str, Any]],
) -> None:
    lines: Iterable[str] = (f"{line}\n" for line in text)
    if format == "json":
        lines = [json.dumps(record) + "\n"]
    elif format == "csv":
        lines = csv_lines(csv[0], csv)
    with terminal.report_stream(output) as stream:
        stream.write("".join(lines).encode())


def _with_metadata(records: Iterator[dict[str, Any]], metadata: str) -> list[dict[str, Any]]:
    return [record | ({"metadata": metadata} if metadata else {}) for record in records]


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
        f"{result.model}: {result.queries:,} queries, {result.references:,} references, "
        f"{result.training:,} training images, {result.positives:,} matches"
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
        f"{result.model}: {result.queries:,} queries, {result.originals:,} originals, "
        f"{result.distractors:,} distractors, {result.training:,} training images"
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
