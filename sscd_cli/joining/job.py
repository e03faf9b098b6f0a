"""What the join of a dataset in tiles is, whoever does which of them: its plan and its files.

The pairs of each tile lie in a file of `<descriptors>/join-<digests>`, complete or absent; the
digests are those of the shards and of the settings, so that no pair of an older dataset can be
taken for one of this. A tile whose file exists is done, whoever joined it. Two divisions of one
join may run at the same time: at worst a tile is joined twice, with the same outcome.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from sscd_cli.choices import RECALL, Method
from sscd_cli.descriptors.blocks import NumberedRows
from sscd_cli.descriptors.shards import locked
from sscd_cli.descriptors.tables import read_arrays, write_table
from sscd_cli.errors import StoreError
from sscd_cli.joining.pruned import sampled_choices
from sscd_cli.joining.tiles import Block, Tile, TilePairs, TilePlan
from sscd_cli.machines.tasks import Task
from sscd_cli.matching.copies import SAMPLE_ROWS, Recall
from sscd_cli.matching.join import Pairs
from sscd_cli.scoring.threshold import look_at, resolve
from sscd_cli.storage.files import whole_file, writing
from sscd_cli.text import from_json

EXACT_ROWS = 10_000_000  # with 512 dimensions, some 30 core hours
_FOLDER = re.compile(r"join-[0-9a-f]{16}(-[0-9a-f]{16})?")
_GROUPS = "groups.json"
_PAIR, _FOREST, _IDENTICAL = range(3)  # what a row of a tile's file is


@dataclass(frozen=True, kw_only=True)
class JoinJob:
    """Which pairs of which dataset are found; each field is an option of `sscd dedup`."""

    descriptors: Path
    threshold: float | str | None
    method: Method
    min_recall: float
    device: str


@dataclass(frozen=True)
class Pruning:
    """How many groups each row joins, None if every cell is looked at, and what that will find."""

    choices: int | None
    recall: Recall | None


@dataclass(frozen=True)
class Join:
    """The join of a dataset as it is now, at one threshold, exact or in groups.

    threshold: from which pairs are found. sure: from which they are copies.
    """

    job: JoinJob
    rows: NumberedRows
    plan: TilePlan
    threshold: float
    method: Literal["exact", "groups"]
    sure: float

    @classmethod
    def of(cls, job: JoinJob) -> Join:
        """Raises: StoreError: no descriptors to join. UsageError: an impossible threshold."""
        rows = NumberedRows(job.descriptors)
        sure = resolve(job.threshold, rows.provenance, job.descriptors)
        threshold = look_at(job.threshold, rows.provenance, sure)
        # not by the seconds that it would take here: all machines must choose alike
        many = job.method == "groups" or len(rows) > EXACT_ROWS
        pruned = many and job.method != "exact" and job.min_recall < 1
        plan = TilePlan.of(len(rows), pruned=pruned)
        return cls(job, rows, plan, threshold, "groups" if pruned else "exact", sure)

    @cached_property
    def folder(self) -> Path:
        """Where the tiles' files lie."""
        recall = self.job.min_recall if self.method == "groups" else 1
        settings = repr((self.plan, self.threshold, recall))
        digest = hashlib.blake2b(settings.encode(), digest_size=8).hexdigest()
        return self.job.descriptors / f"join-{self.rows.digest()}-{digest}"

    @property
    def command(self) -> tuple[str, ...]:
        """The command that its tasks share."""
        given = self.job
        threshold = () if given.threshold is None else ("-t", str(given.threshold))
        method = () if given.method == "auto" else ("--method", given.method)
        wanted = ("--min-recall", f"{given.min_recall:g}")
        recall = () if given.min_recall == RECALL else wanted
        return "sscd", "dedup", "-d", str(given.descriptors), *threshold, *method, *recall

    def lacking(self, folder: Path, task: Task | None = None) -> list[Tile]:
        """Return the tiles, or a task's tiles, that have no file."""
        there = {path.name for path in folder.glob("tile-*.parquet")}
        return [tile for tile in self.plan.tiles(task) if f"{tile.name}.parquet" not in there]

    def block(self, number: int, pruning: Pruning) -> Block:
        """Read a block of rows."""
        return Block.of(*self.rows.read(*self.plan.span(number)), pruning.choices)

    def pruning(self, folder: Path) -> Pruning:
        """Return what one of the tasks finds out for all, whoever comes first.

        Costs a pass over all descriptors: 2,000 rows are compared with all others.
        """
        if self.method == "exact":
            return Pruning(None, None)
        path = folder / _GROUPS
        if not path.exists():
            _save_pruning(path, self._sampled())
        return _load_pruning(path)

    def _sampled(self) -> Pruning:
        blocks = (self.rows.read(*self.plan.span(number))[1] for number in self.plan.blocks)
        sample = self.rows.sample(SAMPLE_ROWS)
        return Pruning(*sampled_choices(sample, blocks, self.threshold, self.job.min_recall))

    def remove_older(self) -> int:
        """Remove the joins of what the dataset was before, if nobody is at work there; count them.

        A folder on a server stays.
        """
        digest, removed = NumberedRows(self.job.descriptors).digest(), 0
        if digest not in self.folder.name:  # it has changed since: ours is an older one itself
            return 0
        for folder in self.job.descriptors.glob("join-*"):
            if _FOLDER.fullmatch(folder.name) and digest not in folder.name:
                with suppress(StoreError, OSError), locked(folder):
                    shutil.rmtree(folder)
                    removed += 1
        return removed


def _save_pruning(path: Path, pruning: Pruning) -> None:
    recall = pruning.recall
    found = (recall.found, recall.expected) if recall else (0, 0)
    record = {"choices": pruning.choices, "found": found[0], "expected": found[1]}
    with writing(path.parent), whole_file(path) as file:
        file.write(json.dumps(record).encode())


def _load_pruning(path: Path) -> Pruning:
    try:
        record = from_json(path.read_bytes())
        choices = record["choices"]
        if choices is None:
            return Pruning(None, None)
        return Pruning(int(choices), Recall(int(record["found"]), int(record["expected"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        fix = f"delete {path.parent} and run its tasks again"
        raise StoreError(f"{path} is damaged", fix) from error


def save_tile(folder: Path, tile: Tile, found: TilePairs) -> None:
    """Write what a tile found. Raises: StoreError: it cannot be written."""
    pairs, twins = found.pairs, len(found.twin)
    kinds = np.array([_FOREST if found.forest else _PAIR, _IDENTICAL], np.uint8)
    columns = {
        "left": np.concatenate([pairs.left, found.first]),
        "right": np.concatenate([pairs.right, found.twin]),
        "similarity": np.concatenate([pairs.similarity, np.ones(twins, np.float32)]),
        "kind": np.repeat(kinds, [len(pairs), twins]),
    }
    with writing(folder), whole_file(folder / f"{tile.name}.parquet") as file:
        write_table(file, columns)


def load_tiles(folder: Path, plan: TilePlan) -> Iterator[TilePairs]:
    """Read what all tiles found, one after the other. Raises: StoreError: one is damaged."""
    for tile in plan.tiles():
        columns = read_arrays(folder / f"{tile.name}.parquet")
        kind = columns.pop("kind")
        twin = kind == _IDENTICAL
        pairs = Pairs(**{name: values[~twin] for name, values in columns.items()})
        ends = columns["left"][twin], columns["right"][twin]
        yield TilePairs(pairs, *ends, forest=bool((kind == _FOREST).any()))
