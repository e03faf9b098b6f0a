"""`sscd pair`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from sscd_cli.cli import arguments as words
from sscd_cli.cli import terminal
from sscd_cli.cli.models import fetch_if_missing
from sscd_cli.options import PairOptions, check_word

if TYPE_CHECKING:
    from sscd_cli.pair import PairResult

SHOWN_TRIALS = 6
_default = PairOptions(left="", right="")


def pair(
    left: Annotated[str, typer.Argument(metavar="A", help="An image file.", show_default=False)],
    right: Annotated[str, typer.Argument(metavar="B", help="Another.", show_default=False)],
    model: words.Model = _default.model,
    post: words.Post = _default.post,
    score_norm: words.ScoreNorm = _default.score_norm,
    threshold: words.Threshold = _default.threshold,
    explain: Annotated[
        bool,
        words.option(
            "Tell which single edit accounts for the pair; embeds a few hundred more images.",
            "--explain",
        ),
    ] = _default.explain,
    exif: words.Exif = _default.exif,
    device: words.Device = _default.device,
    precision: words.Precision = _default.precision,
    format: Annotated[str, words.option("text or json.", "--format", "-f")] = "text",
    exit_code: Annotated[bool, words.option("Exit with 1 if no copy.", "--exit-code")] = False,
    quiet: words.Quiet = False,
    debug: words.Debug = False,
) -> None:
    """Tell whether two images are copies of one another."""
    given = dict(locals())
    check_word("format", format, ("text", "json"))
    from sscd_cli import pair as verb

    fetch_if_missing(model)
    result = verb.run(words.chosen(PairOptions, given))
    terminal.print_data(_json(result) if format == "json" else "\n".join(_lines(result)))
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
    yield (
        f"similarity {result.similarity:.4f}  distance {result.distance:.4f}  "
        f"{verdict} at threshold {result.threshold:.4g}{terminal.scale_note(result.scale)}"
    )
    if result.explanation is None:
        return
    yield result.explanation.sentence()
    for trial in result.explanation.trials[:SHOWN_TRIALS]:
        what = "as they are" if trial.edit == "nothing" else f"{trial.edit} of {trial.edited}"
        yield f"  {trial.similarity:.3f}  {what:<20}  {trial.strength}".rstrip()
