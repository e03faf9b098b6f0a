"""`sscd pair`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sscd_cli.cli import terminal
from sscd_cli.cli.models import fetch_if_missing
from sscd_cli.options.help import Help
from sscd_cli.options.pair import PairOptions

if TYPE_CHECKING:
    from sscd_cli.commands.pair import PairResult

SHOWN_TRIALS = 6


def pair(
    options: PairOptions,
    format: Annotated[Literal["text", "json"], Help("text or json.", "-f")] = "text",
    exit_code: Annotated[bool, Help("Exit with 1 if no copy.")] = False,
) -> None:
    """Tell whether two images are copies of one another.

    Example: sscd pair a.jpg b.jpg --explain
    """
    from sscd_cli.commands import pair as verb

    fetch_if_missing(options.model)
    result = verb.run(options)
    terminal.print_lines([_json(result)] if format == "json" else _lines(result))
    if exit_code and not result.is_copy:
        raise typer.Exit(1)


def _json(result: PairResult) -> str:
    """Return all fields; an explanation, if there is one, with its sentence."""
    fields = asdict(result)
    if result.explanation is None:
        del fields["explanation"]
    else:
        fields["explanation"]["sentence"] = result.explanation.sentence()
    return json.dumps(fields)


def _lines(result: PairResult) -> Iterator[str]:
    verdict = "copy" if result.is_copy else "no copy"
    least = ", least of {} and {} frames".format(*result.frames) if max(result.frames) > 1 else ""
    yield (
        f"similarity {result.similarity:.4f}  distance {result.distance:.4f}  "
        f"{verdict} at threshold {result.threshold:.4g}{terminal.scale_note(result.scale)}{least}"
    )
    if result.explanation is None:
        return
    yield result.explanation.sentence()
    for trial in result.explanation.trials[:SHOWN_TRIALS]:
        what = "as they are" if trial.edit == "nothing" else f"{trial.edit} of {trial.edited}"
        yield f"  {trial.similarity:.3f}  {what:<20}  {trial.strength}".rstrip()
