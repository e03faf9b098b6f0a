"""How many images a job has: a walk beside the work, for who watches how far it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sscd_cli.embedding.job import Job
from sscd_cli.images.containers.kinds import is_walked_cheaply
from sscd_cli.images.refs import Survey
from sscd_cli.machines.stages import Stage, is_watched
from sscd_cli.machines.tasks import Task
from sscd_cli.storage.servers import is_url

_TOLD_EVERY = 64


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
