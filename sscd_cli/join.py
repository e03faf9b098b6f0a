"""`sscd dedup --task`: the join of a dataset in tiles, by as many machines as there are tasks.

The pairs of each tile lie in a file of `<descriptors>/join-<digest>`, complete or absent; the
digest is that of the shards and the settings, so that no pair of an older dataset can be taken for
one of this. A tile whose file exists is done, whoever joined it.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from sscd_cli.options import ClusterOptions, DedupOptions
from sscd_cli.tasks import Task, all_tasks

if TYPE_CHECKING:
    from sscd_cli.descriptors.blocks import NumberedRows
    from sscd_cli.descriptors.read import DescriptorSet
    from sscd_cli.matching.clusters import Copies
    from sscd_cli.matching.tiles import Block, Tile, TilePairs, TilePlan
    from sscd_cli.options import Method

TASKS_PER_SLOT = 4  # of a cluster: enough for all to end at about one time

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class JoinResult:
    """What one task did. tiles: all of it; joined: those that were not done already."""

    folder: Path
    task: Task
    tiles: int
    joined: int
    pairs: int
    elapsed: float


@dataclass(frozen=True)
class Join:
    """The join of a dataset as it is now, at one threshold, by one method."""

    options: DedupOptions
    rows: NumberedRows
    plan: TilePlan
    threshold: float
    method: Method

    @classmethod
    def of(cls, options: DedupOptions) -> Join:
        """Raises: StoreError: no descriptors to join. UsageError: an impossible threshold."""
        from sscd_cli.descriptors.blocks import NumberedRows
        from sscd_cli.descriptors.threshold import resolve
        from sscd_cli.matching.tiles import TilePlan

        rows = NumberedRows(options.descriptors)
        threshold = resolve(options.threshold, rows.provenance, options.descriptors)
        # a tile is small enough to be joined exactly, and is then the same on every machine
        method: Method = "exact" if options.method == "auto" else options.method
        return cls(options, rows, TilePlan.of(len(rows)), threshold, method)

    @property
    def folder(self) -> Path:
        """Where the tiles' files lie."""
        settings = (self.rows.digest(), self.plan, self.threshold, self.method)
        digest = hashlib.blake2b(repr(settings).encode(), digest_size=8).hexdigest()
        return self.options.descriptors / f"join-{digest}"

    @property
    def words(self) -> tuple[str, ...]:
        """The command that its tasks share."""
        threshold = () if self.options.threshold is None else ("-t", str(self.options.threshold))
        method = () if self.options.method == "auto" else ("--method", self.options.method)
        return "sscd", "dedup", "-d", str(self.options.descriptors), *threshold, *method

    def lacking(self, folder: Path, task: Task | None = None) -> list[Tile]:
        """Return the tiles, or a task's tiles, that have no file."""
        there = {path.name for path in folder.glob("tile-*.parquet")}
        return [tile for tile in self.plan.tiles(task) if f"{tile.name}.parquet" not in there]

    def block(self, number: int) -> Block:
        """Read a block of rows."""
        from sscd_cli.matching.tiles import Block

        return Block(*self.rows.read(*self.plan.span(number)))


def run(
    options: DedupOptions, task: Task, progress: Progress = lambda done, total: None
) -> JoinResult:
    """Join the tiles of one task that nobody has joined yet.

    Raises: StoreError: no descriptors, another process runs this task, or its files cannot be
        written. UsageError: an impossible threshold, or what only one machine can do.
    """
    options.check()
    options.check_divisible()
    from sscd_cli.descriptors.parts import Part
    from sscd_cli.descriptors.shards import locked, writing
    from sscd_cli.matching.join import gpu_for
    from sscd_cli.matching.tiles import join_tile

    started = time.perf_counter()
    device = gpu_for(device_of(options), math.inf) or "cpu"  # a task is many tiles
    join = Join.of(options)
    folder, found = join.folder, 0
    with writing(folder):
        folder.mkdir(exist_ok=True)
    with locked(folder, task):
        with writing(folder):
            Part(task, join.words).save(folder)
        tiles, lacking = join.plan.tiles(task), join.lacking(folder, task)
        block = lru_cache(maxsize=2)(join.block)
        for done, tile in enumerate(lacking, len(tiles) - len(lacking)):
            progress(done, len(tiles))
            blocks = block(tile.left), block(tile.right)
            pairs = join_tile(*blocks, join.threshold, join.method, device)
            _save(folder, tile, pairs)
            found += len(pairs.pairs)
        progress(len(tiles), len(tiles))
    elapsed = time.perf_counter() - started
    return JoinResult(folder, task, len(tiles), len(lacking), found, elapsed)


def device_of(options: DedupOptions) -> str:
    """Return the device as `matching` knows it. Raises: UsageError: it is not on this machine."""
    device, _, _ = options.device.partition(",")  # of several that embed, one joins
    if device in ("auto", "cpu"):
        return device
    from sscd_cli.models.device import choose_device

    return str(choose_device(device))


def run_on_cluster(options: DedupOptions, cluster: ClusterOptions, progress: Progress) -> None:
    """Join all tiles on a cluster. Raises: as `run` and `engine.Cluster`."""
    from sscd_cli.engine import Cluster

    total = len(Join.of(options).plan.tiles())
    work = partial(_run_task, replace(options, cluster=None))
    with Cluster(cluster) as ray:
        count = min(total, ray.slots * TASKS_PER_SLOT)
        ray.run(work, all_tasks(count), lambda reports: progress(sum(reports), total))


def _run_task(options: DedupOptions, task: Task, report: Callable[[int], None]) -> JoinResult:
    return run(options, task, lambda done, total: report(done))


def copies_joined(options: DedupOptions, stored: DescriptorSet) -> Copies | None:
    """Return the copies that tasks found in a dataset; None where none of them has begun.

    Tasks compare plain cosines.
    Raises: StoreError: tasks are missing; names them.
    """
    from sscd_cli.descriptors.parts import division, missing_parts
    from sscd_cli.matching.tiles import copies_of

    if options.post or options.score_norm:
        return None
    join = Join.of(options)
    folder = join.folder
    if not folder.exists():
        return None
    lacking = join.lacking(folder)
    if lacking:
        missing = join.plan.tasks_of(lacking, division(folder, join.words) or 1)
        raise missing_parts(missing, f"the join of {options.descriptors}", join.words)
    tiles = _load(folder, join.plan)
    return copies_of(tiles, stored.numbers, stored.descriptors, join.threshold, join.method)


def _save(folder: Path, tile: Tile, found: TilePairs) -> None:
    import numpy as np

    from sscd_cli.descriptors.shards import writing
    from sscd_cli.descriptors.tables import write_table
    from sscd_cli.files import whole_file

    pairs, twins = found.pairs, len(found.twin)
    columns = {
        "left": np.concatenate([pairs.left, found.first]),
        "right": np.concatenate([pairs.right, found.twin]),
        "similarity": np.concatenate([pairs.similarity, np.ones(twins, np.float32)]),
        "identical": np.repeat([False, True], [len(pairs), twins]),
    }
    with writing(folder), whole_file(folder / f"{tile.name}.parquet") as file:
        write_table(file, columns)


def _load(folder: Path, plan: TilePlan) -> Iterator[TilePairs]:
    from sscd_cli.descriptors.tables import read_arrays
    from sscd_cli.matching.join import Pairs
    from sscd_cli.matching.tiles import TilePairs

    for tile in plan.tiles():
        columns = read_arrays(folder / f"{tile.name}.parquet")
        twin = columns.pop("identical")
        pairs = Pairs(**{name: values[~twin] for name, values in columns.items()})
        yield TilePairs(pairs, columns["left"][twin], columns["right"][twin])
