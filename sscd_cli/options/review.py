"""The options of `sscd review`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from sscd_cli.choices import PREVIEW_SIDE, PREVIEWS
from sscd_cli.errors import UsageError
from sscd_cli.options import shared
from sscd_cli.options.help import Help, Options, Range


@dataclass(frozen=True, kw_only=True)
class ReviewOptions(Options):
    """A page on which a person decides."""

    report: shared.ReportToRead
    output: Annotated[
        Path | None, Help("The page to write.", "-o", value="FILE", parse=shared.file_to_write)
    ] = None
    serve: Annotated[
        bool,
        Help("Show the page from this machine until it is finished, and write what is decided."),
    ] = False
    decisions: Annotated[
        Path | None,
        Help(
            "What was decided before, and where --serve writes; by default decisions.jsonl with "
            "the descriptors.",
            value="FILE",
            parse=partial(shared.file_to_write, option="--decisions"),
        ),
    ] = None
    previews: Annotated[
        int,
        Help(
            "Previews within the page at most; images beyond are linked where they lie.",
            within=Range(least=0),
        ),
    ] = PREVIEWS
    side: Annotated[
        int, Help("Longer edge of the previews, in pixels.", within=Range(least=16, most=8192))
    ] = PREVIEW_SIDE
    port: Annotated[
        int, Help("The port for --serve; 0 is any that is free.", within=Range(least=0, most=65535))
    ] = 0

    def check(self) -> None:
        """Raise UsageError for what no report can make possible, before any work is done."""
        if (self.output is None) != self.serve:
            raise UsageError("the page needs one place", "name a file with -o, or add --serve")
