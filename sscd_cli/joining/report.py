"""What the tiles of a join lead to: the copies of one machine, without all descriptors on one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sscd_cli.descriptors.parts import division, missing_parts
from sscd_cli.descriptors.read import DescriptorSet
from sscd_cli.joining.job import Join, JoinJob, load_tiles
from sscd_cli.joining.tiles import copies_of, merged_tiles
from sscd_cli.matching.copies import Copies
from sscd_cli.matching.doubts import Resemblance, random_rows, resemblance


@dataclass(frozen=True, eq=False)
class Joined:
    """The rows of a dataset, or those that have a copy, and which are copies of which.

    threshold: from which a pair is one of copies; lower ones are there to be looked at.
    images, unreadable: of the whole dataset, or of what was embedded just now. alike: how alike
    random images of these are.
    """

    stored: DescriptorSet
    copies: Copies
    threshold: float
    images: int
    unreadable: int
    alike: Resemblance


Saw = Callable[[Iterable[str], Iterable[str]], NDArray[np.bool_]]


def run(job: JoinJob, saw: Saw | None = None, *, descriptors: bool = False) -> Joined | None:
    """Return what tasks found in a dataset, once all are done; None where none has begun.

    Of the dataset it returns the rows with a copy, and their descriptors only if asked for them,
    or if clusters need them.
    Args: saw: by their sources and ids, which images count; without it all do.
    Raises: StoreError: tasks are missing; names them.
    Limits: memory is some 60 bytes a row of the dataset, 200 a pair, and what is known of the rows
        that have a copy: some 300 bytes each, and their descriptors if asked for or
        where there are too many pairs (see `joining.tiles`).
    """
    if not any(job.descriptors.glob("join-*")):
        return None
    join = Join.of(job)
    folder = join.folder
    if not folder.exists():
        return None
    _refuse_missing(join)
    found = merged_tiles(load_tiles(folder, join.plan), len(join.rows))
    census = join.rows.census()
    newest = census.newest
    if saw:
        newest = newest & saw(join.rows.names("source"), join.rows.names("id"))
    counted = newest & census.readable
    rows = found.rows
    rows = rows[counted[rows]]
    stored = join.rows.described(rows, descriptors=descriptors or found.forest)
    copies = copies_of(found, rows, join.threshold, stored.descriptors)
    copies = replace(copies, recall=join.pruning(folder).recall)
    unreadable = newest & ~census.readable
    _, some = join.rows.some(random_rows(np.flatnonzero(counted)))
    return Joined(
        stored,
        copies,
        join.sure,
        images=int(counted.sum()),
        unreadable=int(unreadable.sum()),
        alike=resemblance(some, join.sure),
    )


def _refuse_missing(join: Join) -> None:
    """Raise StoreError, which names the tasks, while there are tiles without a file."""
    lacking = join.lacking(join.folder)
    if lacking:
        missing = join.plan.tasks_of(lacking, division(join.folder, join.command) or 1)
        raise missing_parts(missing, f"the join of {join.job.descriptors}", join.command)
