"""`sscd embed`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from sscd_cli.choices import SHOWN_ERRORS
from sscd_cli.cli import terminal
from sscd_cli.cli.estimate import print_embed_estimate
from sscd_cli.cli.models import fetch_if_missing
from sscd_cli.options import shared
from sscd_cli.options.embed import ClusterOptions, EmbedOptions
from sscd_cli.storage.places import shown_path, working_folder
from sscd_cli.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sscd_cli.embedding.job import EmbedResult
    from sscd_cli.images.refs import Survey


def embed(
    *,
    options: EmbedOptions,
    engine: shared.Engine = "local",
    cluster: Annotated[ClusterOptions, "Each task of --engine ray"],
    estimate: shared.Estimate = False,
    strict: shared.Strict = False,
) -> None:
    """Turn images into descriptors; what is unchanged is skipped.

    Example: sscd embed ./photos
    """
    from sscd_cli.commands import embed as verb

    options = replace(options, cluster=cluster.of(engine))
    if estimate:
        print_embed_estimate(options)
        return
    fetch_if_missing(options.model)
    result = verb.run(options)
    summarise(result, strict=strict)
    if not options.task:
        result.refuse_nothing()
    if strict and result.unreadable:
        raise typer.Exit(4)


def name_unreadable(errors: Sequence[tuple[str, str]], count: int, *, strict: bool) -> None:
    """Name some of the images that could not be read, each with its reason.

    strict: they are why the command ends with 4, which it says whatever --quiet says.
    """
    say = terminal.print_error if strict else terminal.note
    here = working_folder()
    for path, error in errors[:SHOWN_ERRORS]:
        say(f"unreadable: {shown_path(path, here)}: {error}")
    more = count - len(errors[:SHOWN_ERRORS])
    if more > 0:
        say(f"unreadable: and {more:,} more")


def summarise(result: EmbedResult, *, strict: bool = False) -> None:
    """Say what a run did, what it could not read, and where the time went."""
    for path, error in result.faults:
        terminal.warn(f"{shown_path(path, working_folder())}: {error}")
    name_unreadable(result.errors, result.unreadable - len(result.faults), strict=strict)
    counts = [
        f"{result.embedded:,} embedded",
        counted(result.copies, "exact copies"),
        f"{result.unreadable:,} unreadable",
        f"{result.unchanged:,} unchanged",
    ]
    if result.vanished:
        counts.append(f"{result.vanished:,} vanished and dropped")
    terminal.note(f"{counted(result.images, 'images')}: {', '.join(counts)}")
    for line in _beside(result.survey):
        terminal.note(line)
    worked = result.embedded + result.copies
    if worked:
        speed = worked / max(result.elapsed, 1e-9)
        work = sum(result.seconds.values()) or 1.0
        shares = ", ".join(
            f"{name} {seconds / work:.0%}"
            for name, seconds in sorted(result.seconds.items(), key=lambda item: -item[1])
        )
        terminal.note(
            f"{counted(round(speed), 'images')}/s with {result.model} on {result.device} "
            f"({result.precision})"
            + (f", after a start of {result.start:.1f} s" if result.start else "")
        )
        terminal.note(f"{result.start + result.elapsed:.1f} s in all, of the work: {shares}")
    if worked or result.unreadable:
        terminal.note(f"descriptors in {result.folder}")


def _beside(survey: Survey) -> Iterator[str]:
    """Say what the sources hold besides images, in as many lines as there are kinds of it."""
    from sscd_cli.images.refs import most_common

    for what, found in (("not images", survey.left_out), ("skipped", survey.bins)):
        if found:
            yield f"{what}: {most_common(found)}"
    if ".pdf" in survey.left_out:
        yield "to read .pdf: pip install 'sscd-cli[pdf]'"
    if survey.repeated:
        names = counted(survey.repeated, "members")
        yield f"{names} of archives left out: a later one has the same name"
