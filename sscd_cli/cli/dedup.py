"""`sscd dedup`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from sscd_cli.cli import arguments as words
from sscd_cli.cli import terminal
from sscd_cli.cli.embed import summarise as summarise_embedding
from sscd_cli.cli.estimate import print_embed_estimate, print_join_estimate
from sscd_cli.cli.models import fetch_if_missing
from sscd_cli.errors import UsageError
from sscd_cli.options import ClusterOptions, DedupOptions, EmbedOptions, check_word
from sscd_cli.reports.formats import FORMATS, bytes_text, write_clusters
from sscd_cli.reports.matches import write_matches
from sscd_cli.tasks import Task

if TYPE_CHECKING:
    from sscd_cli.against import AgainstResult
    from sscd_cli.dedup import DedupResult
    from sscd_cli.matching.join import JoinPlan

_default = DedupOptions()
_WORTH_SAYING = 5  # seconds
_cluster = ClusterOptions()
_embedding = EmbedOptions(sources=())


def dedup(
    sources: words.MaybeSources = None,
    descriptors: words.Descriptors = _default.descriptors,
    threshold: words.Threshold = _default.threshold,
    against: Annotated[
        Path | None,
        words.option(
            "Report only matches with this second descriptor dataset.",
            "--against",
            show_default=False,
            callback=words.maybe_remote,
        ),
    ] = None,
    post: words.Post = _default.post,
    score_norm: words.ScoreNorm = _default.score_norm,
    linkage: Annotated[
        str,
        words.option(
            "leader: what goes is a copy of what stays; components: one stays; "
            "complete: all of a group are copies of all.",
            "--linkage",
        ),
    ] = _default.linkage,
    keep: Annotated[
        str,
        words.option(
            "What decides which copy stays, in this order: resolution, bytes, oldest, newest, "
            "path, first.",
            "--keep",
        ),
    ] = ",".join(_default.keep),
    method: Annotated[
        str,
        words.option(
            "How pairs are found: auto by the time it takes, exact, or groups.", "--method"
        ),
    ] = _default.method,
    exact: Annotated[bool, words.option("Short for --method exact.", "--exact")] = False,
    format: Annotated[
        str,
        words.option(
            "text, html, jsonl, csv, parquet, or paths (the removable files).", "--format", "-f"
        ),
    ] = "text",
    null: words.Null = _embedding.null,
    output: words.Output = None,
    explain: Annotated[
        bool,
        words.option(
            "Tell which single edit accounts for each removable image, at about a second each.",
            "--explain",
        ),
    ] = False,
    exit_code: words.ExitCode = False,
    strict: words.Strict = False,
    task: words.Task = None,
    engine: words.Engine = "local",
    gpus_per_task: words.GpusPerTask = _cluster.gpus_per_task,
    cpus_per_task: words.CpusPerTask = _cluster.cpus_per_task,
    memory_per_task: words.MemoryPerTask = _cluster.memory_per_task,
    model: words.Model = _embedding.model,
    include: words.Include = None,
    exclude: words.Exclude = None,
    image_column: words.ImageColumn = _embedding.image_column,
    id_column: words.IdColumn = _embedding.id_column,
    exif: words.Exif = _embedding.exif,
    decode: words.Decode = _embedding.decode,
    estimate: words.Estimated = False,
    device: words.Device = _embedding.device,
    precision: words.Precision = _embedding.precision,
    batch_size: words.BatchSize = _embedding.batch_size,
    workers: words.Workers = _embedding.workers,
    quiet: words.Quiet = False,
    debug: words.Debug = False,
) -> None:
    """Report clusters of copies: which image to keep, which may go.

    Nothing is ever deleted: pipe `--format paths -0` into what shall do it.
    """
    given = {**locals(), "keep": tuple(word.strip() for word in keep.split(","))}
    given |= {"cluster": words.cluster(given), "task": None}
    options = words.chosen(DedupOptions, given | ({"method": "exact"} if exact else {}))
    options.check()
    embedding = words.chosen(EmbedOptions, given) if sources else None
    if task:
        _join_task(options, embedding, Task.parse(task))
        return
    if estimate:
        if embedding:
            print_embed_estimate(embedding)
        else:
            print_join_estimate(options)
        return
    explainer = _Explainer(None if model == _embedding.model else model, device)
    target = _Target(format, output, null, explainer if explain else None)
    target.check(options)
    if sources:
        fetch_if_missing(model)
    report = _report_matches if options.against else _report_clusters
    copies, unreadable = report(options, embedding, target)
    if strict and unreadable:
        raise typer.Exit(4)
    if exit_code and copies:
        raise typer.Exit(1)


def _join_task(options: DedupOptions, embedding: EmbedOptions | None, task: Task) -> None:
    """Find the pairs of one task's tiles and report nothing yet."""
    if embedding or options.cluster:
        fix = "leave out the sources and --engine"
        raise UsageError("--task is one part of the join of a whole dataset", fix)
    from sscd_cli import join

    with terminal.count_progress("tiles") as progress:
        done = join.run(options, task, progress)
    terminal.note(
        f"part {task}: {terminal.counted(done.tiles, 'tiles')}, {done.joined:,} joined now in "
        f"{done.elapsed:.1f} s: {done.pairs:,} pairs, in {done.folder}"
    )


@dataclass(frozen=True)
class _Explainer:
    """With what pairs are explained; model None is that of the descriptors."""

    model: str | None
    device: str


@dataclass(frozen=True)
class _Target:
    """How and where a report is written, and with explanations or without."""

    format: str
    output: Path | None
    null: bool
    explainer: _Explainer | None

    def check(self, options: DedupOptions) -> None:
        """Raise UsageError for what cannot be written so, before any work is done."""
        check_word("format", self.format, FORMATS)
        to_terminal = self.output is None and sys.stdout and sys.stdout.isatty()
        if self.format in {"html", "parquet"} and to_terminal:
            raise UsageError(f"{self.format} is not for a terminal", "add -o FILE")
        if self.explainer and (options.against or self.format == "paths"):
            fix = "leave out --explain, or ask sscd pair --explain about one pair"
            raise UsageError("--explain belongs to reports of clusters", fix)


def _report_clusters(
    options: DedupOptions, embedding: EmbedOptions | None, target: _Target
) -> tuple[int, int]:
    """Report the clusters; return how many images are removable and how many unreadable."""
    from sscd_cli import dedup as verb

    with terminal.embed_progress() as progress, terminal.count_progress("tiles") as tiles:
        found = verb.run(options, embedding, progress, tiles, _announce)
    if found.embedded:
        summarise_embedding(found.embedded)
    with terminal.report_stream(target.output) as stream:
        _write(found, target, stream)
    _summarise_clusters(found)
    return found.removable, found.unreadable


def _write(found: DedupResult, target: _Target, stream: BinaryIO) -> None:
    explainer = target.explainer
    if explainer is None:
        write_clusters(found, target.format, stream, null=target.null)
        return
    from sscd_cli import explain as verb

    with terminal.count_progress() as progress:
        clusters = verb.run(
            found, model=explainer.model, device=explainer.device, progress=progress
        )
        write_clusters(clusters, target.format, stream, explained=True)


def _report_matches(
    options: DedupOptions, embedding: EmbedOptions | None, target: _Target
) -> tuple[int, int]:
    """Report the matches; return how many images have one and how many are unreadable."""
    from sscd_cli import against as verb

    with terminal.embed_progress() as progress:
        found = verb.run(options, embedding, progress)
    if found.embedded:
        summarise_embedding(found.embedded)
    with terminal.report_stream(target.output) as stream:
        write_matches(found, target.format, stream, null=target.null)
    _summarise_matches(found)
    return found.leaked, found.unreadable


def _announce(plan: JoinPlan) -> None:
    """Say what finding the pairs will take, where that is worth waiting for."""
    if plan.seconds < _WORTH_SAYING:
        return
    how = "within groups" if plan.groups else "exactly"
    how += f" on {plan.device}" if plan.device else ""
    terminal.note(
        f"looking for pairs {how}: about {plan.seconds:,.0f} s and "
        f"{bytes_text(plan.memory_bytes)} of memory beside the descriptors"
    )


def _summarise_clusters(found: DedupResult) -> None:
    """Say what was found and what was left out."""
    _warn_of_stale(found.stale)
    _warn_of_overlap(found.in_background)
    calibrated = found.calibrated_images
    if calibrated and found.images > 1.5 * calibrated:
        terminal.warn(
            f"the threshold was calibrated for {calibrated:,} images and {found.images:,} are "
            f"compared, which brings more look-alikes; run sscd calibrate --images {found.images}"
        )
    if found.aliases:
        terminal.note(f"{terminal.counted(found.aliases, 'more names')} of the same files left out")
    if found.unchecked:
        terminal.warn(
            f"{found.unchecked:,} images in clusters are not on this machine and were not checked"
        )
    if found.recall:
        low, high = found.recall.interval
        terminal.note(
            f"pairs found in groups; recall on a sample {found.recall.share:.5f} "
            f"({low:.5f} to {high:.5f})"
        )
    terminal.note(
        f"{terminal.counted(found.images, 'images')}, {found.unreadable:,} unreadable: "
        f"{terminal.counted(found.clusters, 'clusters')}, "
        f"{found.removable:,} removable ({bytes_text(found.removable_bytes)})"
    )
    terminal.note(_threshold_words(found))


def _threshold_words(found: DedupResult | AgainstResult) -> str:
    return f"threshold {found.threshold:.4g} of {found.model}{terminal.scale_note(found.scale)}"


def _summarise_matches(found: AgainstResult) -> None:
    _warn_of_stale(found.stale)
    _warn_of_overlap(found.in_background)
    if found.unchecked:
        terminal.warn(
            f"{found.unchecked:,} images match files that are not on this machine and were not "
            "checked; --format paths leaves them out"
        )
    terminal.note(
        f"{found.leaked:,} of {terminal.counted(found.images, 'images')} have a copy "
        f"among {terminal.counted(found.others, 'others')}"
    )
    terminal.note(_threshold_words(found))


def _warn_of_overlap(count: int) -> None:
    if count:
        terminal.warn(
            f"{count:,} images are in the background of --post themselves, which lowers their "
            "similarities; fit on other images"
        )


def _warn_of_stale(count: int) -> None:
    if count:
        terminal.warn(
            f"{count:,} images have vanished or changed since they were embedded and were left "
            "out; run sscd embed again, with --prune"
        )
