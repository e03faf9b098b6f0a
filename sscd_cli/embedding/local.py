"""`sscd embed` on this machine: each image that the dataset does not hold becomes a row of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sscd_cli.choices import OutputKind
from sscd_cli.descriptors.ledger import Known, Ledger
from sscd_cli.descriptors.schema import Row, name_digest
from sscd_cli.descriptors.write import ShardWriter
from sscd_cli.embedding.job import (
    EmbedProgress,
    EmbedResult,
    Job,
    drop_mended,
    prune_vanished,
)
from sscd_cli.embedding.stream import (
    Decoder,
    Embedded,
    Lists,
    Outcome,
    default_batch,
    default_workers,
    embed_in_threads,
)
from sscd_cli.images.decode import Decoded
from sscd_cli.images.read import Unreadable
from sscd_cli.images.refs import ImageRef
from sscd_cli.images.status import stat_image
from sscd_cli.machines.hardware import keep_large_allocations
from sscd_cli.machines.stages import stage

if TYPE_CHECKING:
    from sscd_cli.models.load import Model


def run_here(job: Job, progress: EmbedProgress) -> EmbedResult:
    """Embed the images of a job, or of its task, that the dataset does not hold yet.

    Raises: as `embed.run`.
    """
    called = time.perf_counter()
    keep_large_allocations()
    with stage("loading the network"):
        model = job.network()
    provenance = job.provenance(model)
    result = EmbedResult(
        job.descriptors, model.spec.name, str(model.runtime.device), model.runtime.precision
    )
    started = time.perf_counter()
    result.start = started - called
    refs = job.images(result.survey)
    writer = ShardWriter(
        job.descriptors,
        provenance,
        job.shard_rows,
        task=job.task,
        command=job.command,
    )
    with writer:
        job.refuse_other_precision(provenance)
        ledger = Ledger(job.descriptors, provenance, job.task)
        drawn: set[tuple[str, str]] = set()
        for some in _embedded(_changed(refs, ledger, result, drawn), model, job, ledger):
            _write(some, writer, ledger, result)
            drawn.difference_update((image.ref.source, image.ref.id) for image in some.outcomes)
            result.elapsed = time.perf_counter() - started
            progress(result)
    result.mended = result.survey.whole(ledger.faults)
    if not job.task:
        drop_mended(result)
    if job.prune:
        result.vanished = prune_vanished(job.descriptors)
    result.elapsed = time.perf_counter() - started
    progress(result)
    return result


def _changed(
    refs: Iterable[ImageRef], ledger: Ledger, result: EmbedResult, drawn: set[tuple[str, str]]
) -> Iterator[ImageRef]:
    """Leave out, and count, the images that the dataset holds as they are now.

    drawn: source and id of the images that are on their way into the dataset.
    """
    for ref in refs:
        result.images += 1
        name = name_digest(ref.source, ref.id)
        result.note_seen(name)
        if (ref.source, ref.id) in drawn:  # a list may name an image twice
            result.unchanged += 1
            continue
        try:
            is_stored = ledger.unchanged(name, *stat_image(ref))
        except Exception:
            is_stored = False  # decoding will say what is wrong
        if not is_stored:
            drawn.add((ref.source, ref.id))
            yield ref
        elif ledger.damaged(name):
            result.note_unreadable(ref.name, ledger.reason(name))
        else:
            result.unchanged += 1


def _embedded(
    refs: Iterator[ImageRef], model: Model, job: Job, ledger: Ledger
) -> Iterator[Embedded]:
    # threads see the ledger grow, processes what it held when they were forked
    known = ledger.holds if model.runtime.device.type == "cpu" else ledger.held_at_start
    return embed_stream(
        refs,
        model,
        job.decoder(model, known),
        batch_size=job.batch_size or default_batch(model),
        workers=default_workers(model) if job.workers is None else job.workers,
        kind=job.output_kind,
    )


def embed_stream(
    refs: Iterable[ImageRef],
    model: Model,
    decoder: Decoder,
    *,
    batch_size: int,
    workers: int,
    kind: OutputKind = "descriptor",
) -> Iterator[Embedded]:
    """Embed images in lists of `batch_size`, in their order; nothing is listed up front.

    Args: workers: threads on a CPU, processes beside a GPU; 0 does everything in this thread.
    Limits: memory is a few batches a worker.
    Raises: SscdError: a decoding process died. What iterating over `refs` raises comes after the
    images before it.
    """
    lists = Lists(refs, batch_size)
    if model.runtime.device.type == "cpu" and not model.runtime.lane:
        yield from embed_in_threads(lists, model, decoder, workers=workers, kind=kind)
    else:
        from sscd_cli.embedding.on_gpu import embed_beside_gpu

        yield from embed_beside_gpu(lists, model, decoder, workers=workers, kind=kind)
    if lists.error is not None:
        raise lists.error


def _write(some: Embedded, writer: ShardWriter, ledger: Ledger, result: EmbedResult) -> None:
    """Write the rows of some images, one after the other: the next may be a copy of the last."""
    started = time.perf_counter()
    for index, image in enumerate(some.outcomes):
        row = _row(image, some.descriptors.get(index), ledger, result)
        if not ledger.knows_failure(row):
            ledger.note([row], writer.add([row]))
    spent = some.seconds | {"write": time.perf_counter() - started}
    for phase, seconds in spent.items():
        result.seconds[phase] += seconds


def _row(
    image: Outcome, descriptor: NDArray[np.float32] | None, ledger: Ledger, result: EmbedResult
) -> Row:
    """Return the row of an image; a file's exact copy gets the same descriptor."""
    row = Row(
        image.ref.id,
        image.ref.source,
        file_bytes=image.file_bytes,
        mtime_ns=image.mtime_ns,
        content_hash=image.content_hash,
    )
    if isinstance(image, Unreadable):
        note = result.note_fault if image.ref.fault else result.note_unreadable
        note(image.ref.name, image.error)
        return replace(row, error=image.error)
    if ledger.holds(image.content_hash):
        known = ledger.known(image.content_hash)
        result.copies += 1
    else:
        assert isinstance(image, Decoded)  # a `Copied` is one because the ledger holds it
        assert descriptor is not None
        known = Known(
            descriptor,
            image.width,
            image.height,
            image.format,
            image.frames,
            image.content,
            image.pixel_hash,
        )
        result.embedded += 1
    return replace(row, **{field.name: getattr(known, field.name) for field in fields(known)})
