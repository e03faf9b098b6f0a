"""`sscd pair`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from sscd_cli.cli import arguments as words
from sscd_cli.cli import terminal
from sscd_cli.cli.models import fetch_if_missing
from sscd_cli.errors import UsageError
from sscd_cli.options import PairOptions

_default = PairOptions(left="", right="")


def pair(
    left: Annotated[str, typer.Argument(metavar="A", help="An image file.", show_default=False)],
    right: Annotated[str, typer.Argument(metavar="B", help="Another.", show_default=False)],
    model: words.Model = _default.model,
    post: words.Post = _default.post,
    score_norm: words.ScoreNorm = _default.score_norm,
    threshold: words.Threshold = _default.threshold,
    exif: words.Exif = _default.exif,
    device: words.Device = _default.device,
    precision: words.Precision = _default.precision,
    format: Annotated[str, words.option("text or json.", "--format", "-f")] = "text",
    exit_code: Annotated[bool, words.option("Exit with 1 if no copy.", "--exit-code")] = False,
    quiet: words.Quiet = False,
    debug: words.Debug = False,
) -> None:
    """Tell whether two images are copies of one another."""
    if format not in ("text", "json"):
        raise UsageError(f"unknown format {format!r}", "use text or json")
    from sscd_cli import pair as verb

    fetch_if_missing(model)

    result = verb.run(
        PairOptions(
            left=left,
            right=right,
            model=model,
            post=post,
            score_norm=score_norm,
            threshold=threshold,
            exif=exif,
            device=device,
            precision=precision,
        )
    )
    if format == "json":
        text = json.dumps(asdict(result))
    else:
        verdict = "copy" if result.is_copy else "no copy"
        text = (
            f"similarity {result.similarity:.4f}  distance {result.distance:.4f}  "
            f"{verdict} at threshold {result.threshold:.4g}{terminal.scale_note(result.scale)}"
        )
    terminal.print_data(text)
    if exit_code and not result.is_copy:
        raise typer.Exit(1)
