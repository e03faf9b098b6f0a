"""`sscd dedup --task`: the join of a dataset in tiles, by as many machines as there are tasks.

What a join is, and where its files lie: `joining.job`. What becomes of them: `joining.report`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from sscd_cli.descriptors.parts import Part
from sscd_cli.descriptors.shards import locked
from sscd_cli.joining.job import Join, JoinJob, save_tile
from sscd_cli.joining.tiles import join_tile
from sscd_cli.machines.device import choose_device
from sscd_cli.machines.ray import RayCluster, Share
from sscd_cli.machines.stages import Progress, stage
from sscd_cli.machines.tasks import Task, all_tasks
from sscd_cli.matching.join import gpu_for
from sscd_cli.storage.files import writing

TASKS_PER_SLOT = 4  # of a cluster: enough for all to end at about one time


@dataclass(frozen=True)
class JoinResult:
    """What one task did. tiles: all of it; joined: those that were not done already.

    removed: folders with joins of older descriptors, once this one was complete.
    """

    folder: Path
    task: Task
    tiles: int
    joined: int
    pairs: int
    removed: int
    elapsed: float


def run(job: JoinJob, task: Task, progress: Progress = lambda done, total: None) -> JoinResult:
    """Join the tiles of one task that nobody has joined yet.

    Raises: StoreError: no descriptors, another process runs this task, or its files cannot be
        written. UsageError: an impossible threshold.
    """
    started = time.perf_counter()
    gpu = gpu_for(device_of(job.device), math.inf)  # a task is many tiles
    join = Join.of(job)
    folder, found = join.folder, 0
    with writing(folder):
        folder.mkdir(exist_ok=True)
    with locked(folder, task):
        with writing(folder):
            Part(task, join.command).save(folder)
        tiles, lacking = join.plan.tiles(task), join.lacking(folder, task)
        pruning = join.pruning(folder)
        block = lru_cache(maxsize=2)(partial(join.block, pruning=pruning))
        for done, tile in enumerate(lacking, len(tiles) - len(lacking)):
            progress(done, len(tiles))
            pairs = join_tile(block(tile.left), block(tile.right), join.threshold, gpu)
            save_tile(folder, tile, pairs)
            found += len(pairs.pairs)
        progress(len(tiles), len(tiles))
    removed = 0 if join.lacking(folder) else join.remove_older()
    elapsed = time.perf_counter() - started
    return JoinResult(folder, task, len(tiles), len(lacking), found, removed, elapsed)


def device_of(devices: str) -> str:
    """Return the device as `matching` knows it. Raises: UsageError: it is not on this machine."""
    device, _, _ = devices.partition(",")  # of several that embed, one joins
    return device if device in ("auto", "cpu") else str(choose_device(device))


def run_on_cluster(job: JoinJob, share: Share) -> None:
    """Join all tiles on a cluster. Raises: as `run` and `RayCluster`."""
    join = Join.of(job)
    with writing(join.folder):
        join.folder.mkdir(exist_ok=True)
    join.pruning(join.folder)  # once for all
    total = len(join.plan.tiles())
    work = partial(_run_task, job)
    with stage("tiles") as tiles, RayCluster(share) as ray:
        count = min(total, ray.slots * TASKS_PER_SLOT)
        ray.run(work, all_tasks(count), lambda news: tiles.tell(sum(news), total))


def _run_task(job: JoinJob, task: Task, tell: Callable[[int], None]) -> JoinResult:
    return run(job, task, lambda done, total: tell(done))
