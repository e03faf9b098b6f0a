"""`sscd embed`: from images to a descriptor dataset, going on where an earlier run stopped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sscd_cli.embedding.job import EmbedProgress, EmbedResult, Job
from sscd_cli.images.containers.kinds import is_walked_cheaply
from sscd_cli.images.refs import Survey
from sscd_cli.machines.hardware import give_memory_back
from sscd_cli.machines.stages import Stage, is_watched, stage
from sscd_cli.machines.tasks import Task
from sscd_cli.options.embed import EmbedOptions
from sscd_cli.scoring.threshold import unmeasured
from sscd_cli.storage.servers import is_url

_TOLD_EVERY = 64  # images of the walk beside the work, for who watches how far it is


def run(options: EmbedOptions, progress: EmbedProgress = lambda result: None) -> EmbedResult:
    """Embed the images of `options.sources` that the dataset does not hold yet.

    `progress` is called after every batch with the same result, which grows. Interrupted by
    Ctrl-C, the rows so far are written before KeyboardInterrupt goes on.

    Raises: NoImagesError: the sources hold none. StoreError: the dataset cannot be written, or
        holds another model's descriptors. ModelError, UsageError: the model or device is not to
        be had. SscdError: a source cannot be read.
    """
    job = options.fill(Job)
    with stage("images") as work, counted_ahead(job, work):

        def show(result: EmbedResult) -> None:
            work.done = result.embedded + result.copies + result.unreadable + result.unchanged
            work.fresh = result.embedded + result.copies
            work.note = f"{result.unreadable:,} unreadable" if result.unreadable else ""
            progress(result)

        return _run(job, options, show)


def _run(job: Job, options: EmbedOptions, progress: EmbedProgress) -> EmbedResult:
    # each way loads what it needs; stored descriptors need none of them
    if options.cluster:
        from sscd_cli.embedding.tasks import run_on_cluster

        return run_on_cluster(job, options.cluster, progress)
    if len(options.devices) > 1:
        from sscd_cli.embedding.tasks import run_on_devices

        return run_on_devices(job, options.devices, progress)
    from sscd_cli.embedding.local import run_here

    return run_here(job, progress)


def run_before(options: EmbedOptions | None) -> EmbedResult | None:
    """Do as `run` for a command that goes on with the descriptors; None where there are no options.

    Raises: as `run`; NoImagesError: there is nothing to go on with.
    """
    result = run(options) if options else None
    if result:
        result.refuse_nothing()
        give_memory_back()
    return result


def refuse_unmeasured(threshold: float | str | None, options: EmbedOptions | None) -> None:
    """Raise UsageError where a model without a threshold shall embed and none was named."""
    if threshold is not None or options is None:
        return
    from sscd_cli.models.catalogue.registry import find_model

    model = find_model(options.model)
    if model.threshold is None:
        raise unmeasured(model.name)


class _DearError(Exception):
    """Only unpacking all of an archive would tell how many images it holds."""


@contextmanager
def counted_ahead(job: Job, work: Stage) -> Iterator[None]:
    """Count a job's images into the total of `work` while the context lasts, if somebody watches.

    What lies on servers or comes through a pipe, and archives that are packed as a whole, are not
    counted: the total stays unknown.
    """
    if not is_watched() or any(s == "-" or is_url(s) for s in job.sources):
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=_count, args=(job, work, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _count(job: Job, work: Stage, stop: threading.Event) -> None:
    task = job.task or Task(1, 1)

    def opens(container: str) -> bool:
        if not is_walked_cheaply(container):
            raise _DearError
        return task.holds(container)

    count, work.listing = 0, True
    try:
        for count, _ in enumerate(job.named_images(Survey(), opens), 1):
            if count % _TOLD_EVERY == 0:
                if stop.is_set():
                    return
                work.total = count
        work.total = count
    except Exception:  # the work will say what is wrong
        work.total = None
    work.listing = False
