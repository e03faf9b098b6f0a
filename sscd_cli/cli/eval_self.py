"""`sscd eval self`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from sscd_cli.cli import arguments as words
from sscd_cli.cli import terminal
from sscd_cli.cli.models import fetch_if_missing
from sscd_cli.options import EvalSelfOptions, check_word

if TYPE_CHECKING:
    from sscd_cli.eval_self import EvalSelfResult

_default = EvalSelfOptions(sources=())


def eval_self(
    sources: words.Sources,
    model: words.Model = _default.model,
    post: words.Post = _default.post,
    score_norm: words.ScoreNorm = _default.score_norm,
    distractors: Annotated[
        list[str] | None,
        words.option("More images to search among.", "--distractors", metavar="SOURCE"),
    ] = None,
    limit: Annotated[
        int | None,
        words.option("Use the first images only.", "--limit", show_default=False),
    ] = _default.limit,
    seed: Annotated[int, words.option("Of the edits' randomness.", "--seed")] = _default.seed,
    format: Annotated[str, words.option("text or json.", "--format", "-f")] = "text",
    device: words.Device = _default.device,
    precision: words.Precision = _default.precision,
    quiet: words.Quiet = False,
    debug: words.Debug = False,
) -> None:
    """Tell how many of fifty edited copies of each image are found."""
    check_word("format", format, ("text", "json"))
    from sscd_cli import eval_self as verb

    fetch_if_missing(model)

    options = EvalSelfOptions(
        sources=tuple(sources),
        model=model,
        post=post,
        score_norm=score_norm,
        distractors=tuple(distractors or ()),
        limit=limit,
        seed=seed,
        device=device,
        precision=precision,
    )
    with terminal.count_progress() as progress:
        result = verb.run(options, progress)
    lines = [_json(result)] if format == "json" else _table(result)
    terminal.print_data("\n".join(lines))
    if result.unreadable:
        terminal.note(f"{result.unreadable:,} unreadable images were left out")


def _table(result: EvalSelfResult) -> Iterator[str]:
    report = result.report
    yield (
        f"{result.model} ({result.precision}): {result.originals:,} originals, "
        f"{result.distractors:,} distractors, {report.total.copies:,} copies"
    )
    if result.scale != "cosine":
        yield f"similarities: {result.scale}"
    yield f"{'edit':<20} {'strength':<16} {'recall':>7} {'µAP':>7} {'first':>7}"
    for row in (*report.rows, report.total):
        yield (
            f"{row.edit:<20} {row.strength:<16} {row.recall:>7.3f} {row.micro_ap:>7.3f} "
            f"{row.accuracy_at_1:>7.3f}"
        )
    yield (
        f"recall at {report.precision:.0%} precision, which is at threshold {report.threshold:.4f};"
        " first: the original is the nearest"
    )
    for threshold in (report.threshold, result.threshold):
        if threshold is None:
            continue
        yield (
            f"at threshold {threshold:.4f}: recall {report.recall_at(threshold):.3f}, "
            f"{report.false_pairs_per_1000(threshold):.2f} pairs of different originals "
            "for 1,000 originals"
        )


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
            "threshold": report.threshold,
            "edits": [asdict(row) for row in report.rows],
            "by_edit": [asdict(row) for row in report.by_name],
        }
    )
