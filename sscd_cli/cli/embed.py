"""`sscd embed`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from sscd_cli.cli import arguments as words
from sscd_cli.cli import terminal
from sscd_cli.cli.estimate import print_embed_estimate
from sscd_cli.cli.models import fetch_if_missing
from sscd_cli.errors import UsageError, printable
from sscd_cli.options import ClusterOptions, EmbedOptions
from sscd_cli.tasks import Task

if TYPE_CHECKING:
    from sscd_cli.embed import EmbedResult

_default = EmbedOptions(sources=())
_cluster = ClusterOptions()


def embed(
    sources: words.Sources,
    descriptors: words.Descriptors = _default.descriptors,
    model: words.Model = _default.model,
    include: words.Include = None,
    exclude: words.Exclude = None,
    null: words.Null = _default.null,
    image_column: words.ImageColumn = _default.image_column,
    id_column: words.IdColumn = _default.id_column,
    exif: words.Exif = _default.exif,
    decode: words.Decode = _default.decode,
    prune: words.Prune = _default.prune,
    device: words.Device = _default.device,
    precision: words.Precision = _default.precision,
    batch_size: words.BatchSize = _default.batch_size,
    workers: words.Workers = _default.workers,
    dtype: words.Dtype = _default.dtype,
    output_kind: words.OutputKind = _default.output_kind,
    shard_rows: words.ShardRows = _default.shard_rows,
    max_pixels: words.MaxPixels = _default.max_pixels,
    max_bytes: words.MaxBytes = _default.max_bytes,
    task: words.Task = None,
    engine: words.Engine = "local",
    gpus_per_task: words.GpusPerTask = _cluster.gpus_per_task,
    cpus_per_task: words.CpusPerTask = _cluster.cpus_per_task,
    memory_per_task: words.MemoryPerTask = _cluster.memory_per_task,
    estimate: words.Estimated = False,
    strict: words.Strict = False,
    quiet: words.Quiet = False,
    debug: words.Debug = False,
) -> None:
    """Turn images into descriptors; what is unchanged is skipped."""
    from sscd_cli import embed as verb

    checked_dtype(dtype)
    if not estimate:
        fetch_if_missing(model)
    given = {**locals(), "task": Task.parse(task) if task else None}
    options = words.chosen(EmbedOptions, given | {"cluster": words.cluster(given)})
    if estimate:
        print_embed_estimate(options)
        return
    with terminal.embed_progress() as progress:
        result = verb.run(options, progress)
    summarise(result)
    if strict and result.unreadable:
        raise typer.Exit(4)


def checked_dtype(name: str) -> str:
    if name not in ("float16", "float32"):
        raise UsageError(f"unknown dtype {name!r}", "use float16 or float32")
    return name


def summarise(result: EmbedResult) -> None:
    """Say what a run did, what it could not read, and where the time went."""
    for path, error in result.errors:
        terminal.note(f"unreadable: {printable(path)}: {error}")
    more = result.unreadable - len(result.errors)
    if more > 0:
        terminal.note(f"unreadable: and {more:,} more, listed in {result.folder}")
    counts = [
        f"{result.embedded:,} embedded",
        terminal.counted(result.copies, "exact copies"),
        f"{result.unreadable:,} unreadable",
        f"{result.unchanged:,} unchanged",
    ]
    if result.vanished:
        counts.append(f"{result.vanished:,} vanished ones dropped")
    terminal.note(f"{terminal.counted(result.images, 'images')}: {', '.join(counts)}")
    worked = result.embedded + result.copies
    if worked:
        speed = worked / max(result.elapsed, 1e-9)
        work = sum(result.seconds.values()) or 1.0
        shares = ", ".join(
            f"{name} {seconds / work:.0%}"
            for name, seconds in sorted(result.seconds.items(), key=lambda item: -item[1])
        )
        terminal.note(
            f"{speed:,.0f} images/s with {result.model} on {result.device} ({result.precision})"
            + (f", after a start of {result.start:.1f} s" if result.start else "")
        )
        terminal.note(f"{result.start + result.elapsed:.1f} s in all, of the work: {shares}")
