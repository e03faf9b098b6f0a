"""`sscd index` and `sscd search`."""

from __future__ import annotations

from typing import Annotated

import typer

from sscd_cli.choices import HitFormat
from sscd_cli.cli import terminal
from sscd_cli.cli.models import fetch_if_missing
from sscd_cli.options import shared
from sscd_cli.options.help import Help
from sscd_cli.options.index import IndexOptions, SearchOptions
from sscd_cli.text import counted


def index(options: IndexOptions) -> None:
    """Make sscd search faster on large datasets; optional.

    Example: sscd index

    It builds the FAISS index of a descriptor dataset, or brings the one that is there up to date.
    sscd dedup needs none, and sscd search answers without one, too.
    """
    from sscd_cli.commands import index as verb

    result = verb.run(options)
    done = "built" if result.rebuilt else f"{result.added:,} added"
    what = f"{counted(result.rows, 'images')}{terminal.scale_note(result.scale)}"
    quality = "" if result.recall is None else f", recall@10 {result.recall:.3f} when built"
    terminal.note(f"{result.path}: {what}, {result.factory}{quality}, {done}")


def search(
    options: SearchOptions,
    format: Annotated[HitFormat, Help("text, jsonl or csv.", "-f")] = "text",
    strict: shared.Strict = False,
) -> None:
    """Show the images of a dataset that are nearest to some images.

    Example: sscd search query.jpg -k 5
    """
    from sscd_cli.commands import search as verb
    from sscd_cli.reports.hits import write_hits

    if options.model:
        fetch_if_missing(options.model)
    result = verb.run(options)
    with terminal.report_stream(None, prose=format == "text") as stream:
        write_hits(result.hits, format, stream)
    for error in result.unreadable:
        terminal.warn(error.what)
    how = "its index" if result.indexed else "an exact search"
    scale = terminal.scale_note(result.scale)
    queries = counted(len(options.images) - len(result.unreadable), "queries")
    stored = counted(result.images, "images")
    terminal.note(f"{queries} in {stored} by {how}{scale}")
    if strict and result.unreadable:
        raise typer.Exit(4)
