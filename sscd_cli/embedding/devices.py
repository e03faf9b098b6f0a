"""`sscd embed --device cuda:0,cuda:1`: a process for each device, and one result of them all.

The plan is that of `--task` (see `tasks`), so that what one process leaves undone is completed by
running the command again, on as many devices as there are then. Run with two processes on a CPU;
never on GPUs.
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

from sscd_cli.embedding.cluster import combined, finished, run_task
from sscd_cli.embedding.job import EmbedProgress, EmbedResult, Job
from sscd_cli.errors import SscdError, UsageError
from sscd_cli.machines.hardware import core_count
from sscd_cli.machines.tasks import Task, all_tasks, spaced

REPORT_SECONDS = 0.5


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
    reports = context.Queue()
    with ProcessPoolExecutor(
        len(devices), mp_context=context, initializer=_begin, initargs=(reports,)
    ) as pool:
        running = [
            pool.submit(_work, replace(one, device=device), tasks[place :: len(devices)])
            for place, device in enumerate(devices[: len(tasks)])
        ]
        _watch(running, reports, lambda latest: progress(combined(latest, started)))
        results = [result for one in running for result in _outcome(one)]
    return finished(replace(combined(results, started), device=",".join(devices)), job, progress)


def _watch(running: Sequence[Future[Any]], reports: Any, progress: Any) -> None:
    """Pass the latest report of each task on until all have ended; Ctrl-C ends them, too."""
    latest: dict[Task, EmbedResult] = {}
    try:
        while wait(running, timeout=0).not_done:
            try:
                task, report = reports.get(timeout=REPORT_SECONDS)
            except queue.Empty:
                continue
            latest[task] = report
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

    reports: ClassVar[Any]


def _begin(reports: Any) -> None:
    """Make a process ready: Ctrl-C reaches all of them, and the first decides when they stop."""
    _Here.reports = reports
    reports.cancel_join_thread()  # nobody may read the last of them
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _work(job: Job, tasks: Sequence[Task]) -> list[EmbedResult]:
    """Run some tasks one after another on one device; SIGTERM ends them as Ctrl-C would."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tell = spaced(_Here.reports.put, REPORT_SECONDS)
    try:
        return [run_task(job, task, partial(_tell_of, tell, task)) for task in tasks]
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _tell_of(tell: Callable[[Any], None], task: Task, result: EmbedResult) -> None:
    tell((task, result))
