"""A job in tasks, side by side, and one result of them all: on several devices, or a cluster.

`--device cuda:0,cuda:1` starts a process for each device, `--engine ray` runs on other machines.
The tasks are those of `--task` (see `machines.tasks`), so that what one of them leaves undone is
completed by running the command again, on as many devices as there are then. Run with two
processes on a CPU, and with two workers on one machine; never on GPUs.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from sscd_cli.choices import SHOWN_ERRORS
from sscd_cli.embedding.job import (
    EmbedProgress,
    EmbedResult,
    Job,
    drop_mended,
    no_images,
    prune_vanished,
)
from sscd_cli.embedding.local import run_here
from sscd_cli.errors import SscdError, UsageError
from sscd_cli.images.refs import joined
from sscd_cli.machines.hardware import core_count
from sscd_cli.machines.ray import RayCluster, Share
from sscd_cli.machines.tasks import Task, all_tasks, spaced

_NEWS_SECONDS = 0.5


def run_on_cluster(job: Job, share: Share, progress: EmbedProgress) -> EmbedResult:
    """Run all tasks: as many as the job was begun with, otherwise as the cluster runs at once.

    Raises: UsageError: the images are named on stdin, or one task was asked for; and what
        `embed.run` and `RayCluster` raise.
    Limits: 8 bytes an image in this process.
    """
    if "-" in job.sources:
        raise UsageError("other machines cannot read the list on stdin", "name the list's file")
    if job.task:
        raise UsageError("--engine ray runs every task itself", "leave out --task or --engine")
    started = time.perf_counter()
    with RayCluster(share) as ray:
        workers = ray.cores if job.workers is None else job.workers
        one = replace(job, prune=False, workers=workers)
        count = job.division or ray.slots
        results = ray.run(
            partial(run_task, one),
            all_tasks(count),
            lambda news: progress(_combined(news, started)),
        )
    return _finished(_combined(results, started), job, progress)


def run_on_devices(job: Job, devices: Sequence[str], progress: EmbedProgress) -> EmbedResult:
    """Run every task of a job: as many as it was begun with, otherwise one a device.

    Raises: UsageError: a device is not on this machine, the images are named on stdin, or one
        task was asked for. SscdError: a process died; and what `embed.run` raises, when the
        other processes have ended.
    """
    from sscd_cli.machines.device import choose_device

    if "-" in job.sources:
        raise UsageError("one device alone can read the list on stdin", "name the list's file")
    if job.task:
        raise UsageError("a task runs on one device", "leave out --task or name one device")
    for device in devices:
        choose_device(device)
    started = time.perf_counter()
    workers = max(1, core_count() // len(devices)) if job.workers is None else job.workers
    one = replace(job, prune=False, workers=workers)
    tasks = all_tasks(job.division or len(devices))
    context = multiprocessing.get_context("spawn")
    news = context.Queue()
    with ProcessPoolExecutor(
        len(devices), mp_context=context, initializer=_begin, initargs=(news,)
    ) as pool:
        running = [
            pool.submit(_work, replace(one, device=device), tasks[place :: len(devices)])
            for place, device in enumerate(devices[: len(tasks)])
        ]
        _watch(running, news, lambda latest: progress(_combined(latest, started)))
        results = [result for one in running for result in _outcome(one)]
    return _finished(replace(_combined(results, started), device=",".join(devices)), job, progress)


def _watch(running: Sequence[Future[Any]], news: Any, progress: Any) -> None:
    """Pass the latest news of each task on until all have ended; Ctrl-C ends them, too."""
    latest: dict[Task, EmbedResult] = {}
    try:
        while wait(running, timeout=0).not_done:
            try:
                task, found = news.get(timeout=_NEWS_SECONDS)
            except queue.Empty:
                continue
            latest[task] = found
            progress(list(latest.values()))
    except KeyboardInterrupt:
        for process in multiprocessing.active_children():
            process.terminate()
        wait(running)
        raise


def _outcome(ended: Future[list[EmbedResult]]) -> list[EmbedResult]:
    try:
        return ended.result()
    except BrokenProcessPool as error:
        what = "a process died (out of memory, or killed by a damaged file)"
        raise SscdError(what, "run the same command again, what is done stays") from error


class _Here:
    """Where this process tells of its work."""

    news: ClassVar[Any]


def _begin(news: Any) -> None:
    """Make a process ready: Ctrl-C reaches all of them, and the first decides when they stop."""
    _Here.news = news
    news.cancel_join_thread()  # nobody may read the last of them
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _work(job: Job, tasks: Sequence[Task]) -> list[EmbedResult]:
    """Run some tasks one after another on one device; SIGTERM ends them as Ctrl-C would."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tell = spaced(_Here.news.put, _NEWS_SECONDS)
    try:
        return [run_task(job, task, partial(_tell_of, tell, task)) for task in tasks]
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _tell_of(tell: Callable[[Any], None], task: Task, result: EmbedResult) -> None:
    tell((task, result))


def _finished(result: EmbedResult, job: Job, progress: EmbedProgress) -> EmbedResult:
    """Do what is left when all tasks have ended. Raises: NoImagesError: none had an image."""
    if not result.images:
        raise no_images(job.sources, result.survey)
    drop_mended(result)
    if job.prune:
        result.vanished = prune_vanished(job.descriptors)
    progress(result)
    return result


def run_task(job: Job, task: Task, tell: EmbedProgress) -> EmbedResult:
    """Run one task in a worker; what it saw does not travel with all news."""

    def slim(result: EmbedResult) -> None:
        tell(replace(result, _seen=bytearray()))

    return run_here(replace(job, task=task), slim)


def _combined(results: Sequence[EmbedResult], started: float) -> EmbedResult:
    """Return what several tasks did since `started`; place and model are those of the first."""
    total = replace(results[0], start=0.0, elapsed=time.perf_counter() - started)
    total._seen = bytearray(b"".join(result._seen for result in results))
    for name in ("images", "embedded", "copies", "unreadable", "unchanged"):
        setattr(total, name, sum(getattr(result, name) for result in results))
    total.seconds = {
        phase: sum(result.seconds[phase] for result in results) for phase in total.seconds
    }
    errors = [error for result in results for error in result.errors]
    total.errors = errors[:SHOWN_ERRORS]
    total.faults = [fault for result in results for fault in result.faults]
    total.mended = [path for result in results for path in result.mended]
    total.survey = joined(result.survey for result in results)
    return total
