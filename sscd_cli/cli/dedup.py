"""`sscd dedup`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sscd_cli.choices import CONFIRMED, CROWD, MODEL, OTHER_SHOT, ReportFormat
from sscd_cli.cli import terminal
from sscd_cli.cli.embed import name_unreadable
from sscd_cli.cli.embed import summarise as summarise_embedding
from sscd_cli.cli.estimate import print_embed_estimate, print_join_estimate
from sscd_cli.cli.models import fetch_if_missing
from sscd_cli.errors import UsageError
from sscd_cli.machines.stages import stage
from sscd_cli.machines.tasks import Task
from sscd_cli.options import shared
from sscd_cli.options.dedup import DedupOptions
from sscd_cli.options.embed import ClusterOptions, EmbedOptions, SourceOptions
from sscd_cli.options.help import Argument, Help
from sscd_cli.storage.places import base_of
from sscd_cli.text import bytes_text, counted

if TYPE_CHECKING:
    from sscd_cli.commands.against import AgainstResult
    from sscd_cli.commands.dedup import DedupResult
    from sscd_cli.matching.doubts import Resemblance
    from sscd_cli.matching.join import JoinPlan
    from sscd_cli.reports.clusters import Cluster
    from sscd_cli.reports.header import Header

_WORTH_SAYING = 5  # seconds
FIRST = ("threshold", "keep_path", "exclude", "format", "output")  # what a folder needs


@dataclass(frozen=True)
class _Target:
    """How and where a report is written, and what the exit status tells of it."""

    format: Annotated[
        ReportFormat, Help("text, html, jsonl, csv, parquet, or paths (the removable files).", "-f")
    ] = "text"
    null: Annotated[bool, Help("Separate paths by NUL instead of line feeds.", "-0")] = False
    output: shared.ReportToWrite = None
    explain: Annotated[
        bool,
        Help("Tell which single edit accounts for each removable image, at about a second each."),
    ] = False
    exit_code: Annotated[bool, Help("Exit with 1 if copies were found.")] = False
    strict: shared.Strict = False

    def check(self) -> None:
        """Raise UsageError for what cannot be written so, before any work is done."""
        to_terminal = self.output is None and sys.stdout and sys.stdout.isatty()
        if self.format in {"html", "parquet"} and to_terminal:
            raise UsageError(f"{self.format} is not for a terminal", "add -o FILE")


def dedup(
    *,
    sources: Annotated[
        tuple[str, ...],
        Argument(
            "Embed these first and look among them only; without, the whole dataset counts.",
            value="SOURCE",
        ),
    ] = (),
    options: DedupOptions,
    exact: Annotated[bool, Help("Short for --method exact.")] = False,
    target: Annotated[_Target, "Report"],
    estimate: shared.Estimate = False,
    task: shared.Task = None,
    engine: shared.Engine = "local",
    cluster: Annotated[ClusterOptions, "Each task of --engine ray"],
    embedding: Annotated[SourceOptions, "Embedding SOURCE"],
) -> None:
    """Report clusters of copies: which image to keep, which may go.

    Example: sscd dedup ./photos --threshold 0.75

    Nothing is moved or deleted: sscd apply does that with a report in jsonl.
    """
    method = "exact" if exact else options.method
    options = replace(options, method=method, cluster=cluster.of(engine))
    if task:
        _join_task(options, task)
        return
    if estimate:
        if images := _wanted(options, embedding):
            print_embed_estimate(images)
        else:
            print_join_estimate(options)
        return
    target.check()
    if embedding.sources:
        fetch_if_missing(embedding.model)
    elif target.explain:
        _check_explainable(options, embedding)
    report = _report_matches if options.against else _report_clusters
    copies, unreadable = report(options, embedding, target)
    if target.strict and unreadable:
        raise typer.Exit(4)
    if target.exit_code and copies:
        raise typer.Exit(1)


def _join_task(options: DedupOptions, task: Task) -> None:
    """Find the pairs of one task's tiles and report nothing yet."""
    from sscd_cli.commands.dedup import run_task

    with stage("tiles") as tiles:
        done = run_task(options, task, tiles.tell)
    if done.removed:
        terminal.note(f"{counted(done.removed, 'joins')} of older descriptors removed")
    terminal.note(
        f"part {task}: {counted(done.tiles, 'tiles')}, {done.joined:,} joined now in "
        f"{done.elapsed:.1f} s: {counted(done.pairs, 'pairs')}, in {done.folder}"
    )


def _report_clusters(
    options: DedupOptions, embedding: SourceOptions, target: _Target
) -> tuple[int, int]:
    """Report the clusters; return how many images are copies for sure and how many unreadable."""
    from sscd_cli.commands import dedup as verb
    from sscd_cli.reports.formats import write_clusters

    found = verb.run(options, _wanted(options, embedding), announce=_announce)
    _tell_of_embedding(found, target)
    header = found.header(terminal.command_line)
    with terminal.report_stream(target.output, prose=target.format == "text") as stream:
        clusters = _explained(found, embedding) if target.explain else found
        how = _how(found, header, target)
        write_clusters(clusters, header, target.format, stream, **how, explained=target.explain)
    _summarise_clusters(found)
    if target.format == "paths":
        _warn_of_no_paths(found.no_files)
    return found.removable + found.untold, found.unreadable


def _wanted(options: DedupOptions, embedding: SourceOptions) -> EmbedOptions | None:
    """Return what shall be embedded first, if anything."""
    if not embedding.sources:
        return None
    return EmbedOptions(**vars(embedding), cluster=options.cluster)


def _own(embedding: SourceOptions) -> str | None:
    """Return the model that was named; None stands for that of the descriptors."""
    return None if embedding.model == MODEL else embedding.model


def _check_explainable(options: DedupOptions, embedding: SourceOptions) -> None:
    from sscd_cli.commands import explain as verb

    verb.check(options.descriptors, _own(embedding))


def _explained(found: DedupResult, embedding: SourceOptions) -> Iterable[Cluster]:
    from sscd_cli.commands import explain as verb

    return verb.run(found, model=_own(embedding), device=embedding.devices[0])


def _how(found: DedupResult | AgainstResult, header: Header, target: _Target) -> dict[str, Any]:
    """Return what a report says beside its records: of the page, where it lies and begins."""
    from sscd_cli.decisions.heirs import decided_among

    base, decide = base_of(header.folder, target.output), partial(decided_among, found.decisions)
    return {"null": target.null, "base": base, "decide": decide}


def _report_matches(
    options: DedupOptions, embedding: SourceOptions, target: _Target
) -> tuple[int, int]:
    """Report the matches; return how many images have one and how many are unreadable."""
    from sscd_cli.commands import against as verb
    from sscd_cli.reports.matches import write_matches

    found = verb.run(options, _wanted(options, embedding))
    _tell_of_embedding(found, target)
    with terminal.report_stream(target.output, prose=target.format == "text") as stream:
        header = found.header(terminal.command_line)
        write_matches(found, header, target.format, stream, **_how(found, header, target))
    _summarise_matches(found)
    if target.format == "paths":
        _warn_of_no_paths(found.no_files)
    return found.leaked, found.unreadable


def _tell_of_embedding(found: DedupResult | AgainstResult, target: _Target) -> None:
    """Say what embedding did; of stored descriptors, with --strict, what could not be read."""
    if found.embedded:
        summarise_embedding(found.embedded, strict=target.strict)
    elif target.strict:
        from sscd_cli.descriptors.read import image_path

        failed = found.stored.unreadable
        paths = map(image_path, failed.sources, failed.ids)
        errors = list(zip(paths, failed.errors, strict=True))
        name_unreadable(errors, found.unreadable, strict=True)


_HOW = {"exact": "exactly", "sketch": "by sketches", "groups": "by sketches within groups"}


def _announce(plan: JoinPlan) -> None:
    """Say what finding the pairs will take, where that is worth waiting for."""
    if plan.seconds < _WORTH_SAYING:
        return
    how = _HOW[plan.method] + (f" on {plan.device}" if plan.device else "")
    terminal.note(
        f"looking for pairs {how}: about {plan.seconds:,.0f} s and "
        f"{bytes_text(plan.memory_bytes)} of memory beside the descriptors"
    )


def _summarise_clusters(found: DedupResult) -> None:
    """Say what was found and what was left out."""
    calibrated = found.calibrated_images
    if calibrated and found.images > 1.5 * calibrated:
        terminal.warn(
            f"the threshold was calibrated for {counted(calibrated, 'images')} and "
            f"{found.images:,} are compared, which brings more look-alikes; "
            f"run sscd calibrate --images {found.images}"
        )
    _tell_what_was_left_out(found)
    if found.aliases:
        terminal.note(f"{counted(found.aliases, 'more names')} of the same files left out")
    if found.unchecked:
        terminal.warn(
            f"not on this machine, so not checked: {counted(found.unchecked, 'images')} in clusters"
        )
    if found.recall:
        low, high = found.recall.interval
        terminal.note(
            f"nearly all pairs found: recall on a sample {found.recall.share:.5f} "
            f"({low:.5f} to {high:.5f})"
        )
    terminal.note(
        f"{counted(found.images, 'images')}, {found.unreadable:,} unreadable: "
        f"{counted(found.clusters, 'clusters')}, "
        f"{found.removable:,} removable ({bytes_text(found.removable_bytes)})"
        + (f", {found.look_at:,} to look at" if found.look_at else "")
    )
    terminal.note(_threshold_line(found))


def _threshold_line(found: DedupResult | AgainstResult) -> str:
    return f"threshold {found.threshold:.4g} of {found.model}{terminal.scale_note(found.scale)}"


def _summarise_matches(found: AgainstResult) -> None:
    _tell_what_was_left_out(found)
    if found.unchecked:
        terminal.warn(
            f"not on this machine, so not checked: what {counted(found.unchecked, 'images')} "
            "would match; --format paths leaves them out"
        )
    terminal.note(
        f"{found.leaked:,} of {counted(found.images, 'images')} have a copy "
        f"among {counted(found.others, 'others')}"
        + (f", {found.look_at:,} more have one to look at" if found.look_at else "")
    )
    terminal.note(_threshold_line(found))


def _tell_what_was_left_out(found: DedupResult | AgainstResult) -> None:
    """Say what is not among the results, or not believed, and why."""
    if found.stale:
        terminal.warn(
            f"left out {counted(found.stale, 'images')} that vanished or changed after embedding; "
            "run sscd embed again, with --prune"
        )
    if found.in_background:
        terminal.warn(
            f"the background of --post holds {counted(found.in_background, 'images')} of these, "
            "which lowers similarities; fit on other images"
        )
    _warn_of_crowds(found.alike, found.crowded, found.threshold)
    if found.low_content:
        terminal.note(
            f"{counted(found.low_content, 'images')} with next to nothing to see compared with "
            "exact copies only; --low-content compares them with all"
        )
    if found.decided:
        terminal.note(f"{counted(found.decided, 'pairs')} left out, for so it was decided")
    _note_second_look(found)


_NONETHELESS = "run sscd calibrate for a threshold of these, or add --yes to let them go"


def _warn_of_crowds(alike: Resemblance, crowded: int, threshold: float) -> None:
    """Say that everything, or a part of it, resembles everything else."""
    if crowded and alike.tells_nothing:
        terminal.warn(
            f"many of these images resemble one another: of {alike.pairs:,} random pairs "
            f"{alike.share:.1%} are above the threshold {threshold:.4g} (of photographs 0.0%), and "
            f"the median is {alike.median:.2f}; {counted(crowded, 'images')} that do are marked "
            f"look at, and not removable but for exact copies; {_NONETHELESS}"
        )
    elif crowded:
        terminal.warn(
            f"{counted(crowded, 'images')} resemble {CROWD} others or more, as pages of text do; "
            f"but for exact copies they are marked look at, and not removable; {_NONETHELESS}"
        )


def _note_second_look(found: DedupResult | AgainstResult) -> None:
    looks = found.looks
    confirmed, others = looks.count(CONFIRMED), looks.count(OTHER_SHOT)
    if confirmed or others:
        terminal.note(looks_text(len(looks.said), confirmed, others))
    if doubted := len(looks.may_be_shots):
        which = "many other shots are" if looks.shots_abound else "pixels confirm few of the pairs"
        terminal.warn(
            f"{which} above the threshold {found.threshold:.4g}, so that it says "
            f"little here; what pixels cannot tell ({counted(doubted, 'pairs')}) is marked look "
            f"at, and not removable; {_NONETHELESS}"
        )


def looks_text(pairs: int, confirmed: int, others: int) -> str:
    """Return what a second look at pairs found, as a line in which the counts add up."""
    counts = [counted(confirmed, "confirmed copies")] if confirmed else []
    counts += [f"{counted(others, 'other shots')} to look at"] if others else []
    unsure = pairs - confirmed - others
    counts += [f"{unsure:,} that pixels cannot tell"] if unsure else []
    return f"second look at {counted(pairs, 'pairs')}: {', '.join(counts)}"


def _warn_of_no_paths(count: int) -> None:
    if count:
        is_no, those = ("is no path", "it") if count == 1 else ("are no paths", "them")
        terminal.warn(
            f"{counted(count, 'removable images')} in archives or on servers {is_no}; "
            f"sscd filter writes those again without {those}"
        )
