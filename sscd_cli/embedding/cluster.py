"""`sscd embed --engine ray`: every task of the job on a cluster, and one result of them all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from sscd_cli.embedding.job import (
    SHOWN_ERRORS,
    EmbedProgress,
    EmbedResult,
    Job,
    drop_mended,
    no_images,
    prune_vanished,
)
from sscd_cli.embedding.local import run_here
from sscd_cli.errors import UsageError
from sscd_cli.images.refs import joined
from sscd_cli.machines.ray import RayCluster, Share
from sscd_cli.machines.tasks import Task, all_tasks


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
            lambda reports: progress(combined(reports, started)),
        )
    return finished(combined(results, started), job, progress)


def finished(result: EmbedResult, job: Job, progress: EmbedProgress) -> EmbedResult:
    """Do what is left when all tasks have ended. Raises: NoImagesError: none had an image."""
    if not result.images:
        raise no_images(job.sources, result.survey)
    drop_mended(result)
    if job.prune:
        result.vanished = prune_vanished(job.descriptors)
    progress(result)
    return result


def run_task(job: Job, task: Task, report: EmbedProgress) -> EmbedResult:
    """Run one task in a worker; what it saw does not travel with every report."""

    def slim(result: EmbedResult) -> None:
        report(replace(result, _seen=bytearray()))

    return run_here(replace(job, task=task), slim)


def combined(results: Sequence[EmbedResult], started: float) -> EmbedResult:
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
