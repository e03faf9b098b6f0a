"""`sscd leaks`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sscd_cli.choices import LEAK_SUFFIXES, LeakFormat
from sscd_cli.cli import terminal
from sscd_cli.cli.embed import summarise as summarise_embedding
from sscd_cli.cli.models import fetch_if_missing
from sscd_cli.options import shared
from sscd_cli.options.help import Help
from sscd_cli.options.leaks import LeaksOptions, ReportFiles
from sscd_cli.text import counted

if TYPE_CHECKING:
    from sscd_cli.commands.leaks import LeaksResult


def leaks(
    *,
    options: LeaksOptions,
    format: Annotated[
        LeakFormat, Help("text, json, junit, sarif, markdown or github (annotations).", "-f")
    ] = "text",
    report: ReportFiles = (),
    strict: shared.Strict = False,
) -> None:
    """Tell how much of a test set has a copy in a training set.

    Example: sscd leaks ./test --against ./train

    The exit status is 1 if that is more than --max-leakage. A set that is missing, empty or not
    to be read never passes.
    """
    from sscd_cli.commands import leaks as verb
    from sscd_cli.reports.leaks.formats import write_leaks

    options.check()
    if network := verb.network_of(options):
        fetch_if_missing(network)
    with terminal.embed_progress() as progress:
        found = verb.run(options, progress)
    for embedded in found.embedded:
        summarise_embedding(embedded, strict=strict)
    said = found.report(terminal.command_line)
    for path in report:
        with terminal.report_stream(path) as stream:
            write_leaks(said, LEAK_SUFFIXES[path.suffix.lower()], stream)
    _write_clean_list(options, found)
    with terminal.report_stream(None) as stream:
        write_leaks(said, format, stream)
    _summarise(found, said.sentence)
    if found.verdict == "failed":
        raise typer.Exit(1)
    if strict and found.counts.unreadable + found.counts.unreadable_others:
        raise typer.Exit(4)


def _write_clean_list(options: LeaksOptions, found: LeaksResult) -> None:
    from sscd_cli.reports.formats import path_lines

    if options.clean_list is None:
        return
    with terminal.report_stream(options.clean_list) as stream:
        for line in path_lines(found.clean_ids(), null=False):
            stream.write(line.encode("utf-8", "surrogateescape"))


def _summarise(found: LeaksResult, sentence: str) -> None:
    """Say what was found; a verdict that is no pass is said whatever --quiet says."""
    counts = found.counts
    if unreadable := counts.unreadable + counts.unreadable_others:
        terminal.warn(f"not compared, for they are unreadable: {counted(unreadable, 'images')}")
    if found.verdict == "passed":
        terminal.note(f"passed: {sentence}")
    elif found.verdict == "warned":
        terminal.warn(sentence)
    else:
        terminal.print_error(f"failed: {sentence}")
