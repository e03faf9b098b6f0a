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
    from sscd_cli.commands.resplit import NewSplit
    from sscd_cli.reports.leaks.record import LeakReport


def leaks(
    *,
    options: LeaksOptions,
    format: Annotated[
        LeakFormat, Help("text, json, junit, sarif, markdown or github (annotations).", "-f")
    ] = "text",
    report: ReportFiles = (),
    thumbnails: Annotated[
        bool, Help("Put small pictures beside a report in Markdown, which shows them.")
    ] = False,
    strict: shared.Strict = False,
) -> None:
    """Tell how much of a test set has a copy in a training set.

    Example: sscd leaks ./test --against ./train

    Of several sets, as in sscd leaks ./test ./val --against ./train, each is held against those
    after it. The exit status is 1 if more than --max-leakage was found. A set that is missing,
    empty or not to be read never passes.
    """
    from sscd_cli.commands import leaks as verb
    from sscd_cli.commands.splits import network_of
    from sscd_cli.reports.leaks.formats import write_leaks

    if network := network_of(options):
        fetch_if_missing(network)
    found = verb.run(options)
    for embedded in found.embedded:
        summarise_embedding(embedded, strict=strict)
    gate = found.report(terminal.command_line)
    for path in report:
        pictures = path.with_name(f"{path.stem}-thumbnails") if thumbnails else None
        with terminal.report_stream(path) as stream:
            write_leaks(gate, LEAK_SUFFIXES[path.suffix.lower()], stream, pictures)
    _write_clean_list(options, found)
    if options.write_baseline:
        terminal.note(f"{options.write_baseline}: the leaks found, which --baseline lets pass")
    with terminal.report_stream(None, prose=format == "text") as stream:
        write_leaks(gate, format, stream)
    unreadable = sum(len(split.stored.unreadable) for split in found.sets)
    if unreadable:
        terminal.warn(f"not compared, for they are unreadable: {counted(unreadable, 'images')}")
    for pair in gate.pairs if format != "text" or not terminal.is_shown() else ():
        _summarise(pair)  # which the text that the terminal shows ends with
    for new in found.resplit:
        _tell_resplit(new)
    if gate.verdict == "failed":
        raise typer.Exit(1)
    if strict and unreadable:
        raise typer.Exit(4)


def _write_clean_list(options: LeaksOptions, found: LeaksResult) -> None:
    from sscd_cli.reports.formats import path_lines

    if options.clean_list is None:
        return
    fix = "name another file with --clean-list"
    with terminal.report_stream(options.clean_list, fix=fix) as stream:
        for line in path_lines(found.clean_ids(), null=False):
            stream.write(line.encode("utf-8", "surrogateescape"))


def _summarise(report: LeakReport) -> None:
    """Say what was found; a verdict that is no pass is said whatever --quiet says."""
    if report.verdict == "passed":
        terminal.note(f"passed: {report.sentence}")
    elif report.verdict == "warned":
        terminal.warn(report.sentence)
    else:
        terminal.print_error(f"failed: {report.sentence}")


def _tell_resplit(new: NewSplit) -> None:
    terminal.note(f"{new.file}: {new.name} without leaks, {counted(new.moved, 'images')} exchanged")
    if new.lacking:
        few = counted(new.lacking, "images")
        terminal.warn(f"{new.file} has {few} fewer than {new.name}: too few are like no other")
