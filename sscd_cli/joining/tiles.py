"""The join in tiles: every pair of two fixed blocks of rows is a piece of work of its own.

B blocks make B (B + 1) / 2 tiles. Tile t belongs to task t mod N + 1 of N, whoever runs it, and
its pairs are the same wherever and whenever it is joined: a pair is chosen and scored by its two
rows alone. Exact tiles look at every cell, pruned ones within groups (`pruned`). Rows are numbered
as they lie in the shards, older and unreadable ones too, so that a tile needs two blocks of
descriptors and no names; `copies_of` leaves out what does not count.

Where a tile, or all together, have more pairs than 16 a row and 2 million, only a maximum spanning
forest of them is kept: it has the same components, and `crowds` finds leaders with it.

Shape legend: R numbered rows, M rows of a block, or with a copy; P pairs, T twins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.joining.pruned import Grouped, cells_in_groups
from sscd_cli.machines.tasks import Task
from sscd_cli.matching.cells import Cells, cells_across, cells_within
from sscd_cli.matching.clusters import collapse, most_held, numbered_by_first
from sscd_cli.matching.copies import Copies
from sscd_cli.matching.crowds import forest_of
from sscd_cli.matching.forest import labels, spanning_forest
from sscd_cli.matching.join import MARGIN, Pairs, TooManyPairsError, merged, pairs_among
from sscd_cli.matching.products import Indices, plan

MOST_BLOCKS = 128  # 8,256 tiles: enough for a thousand machines, few enough for a folder
LEAST_ROWS = 32_768
LEAST_PRUNED_ROWS = 1 << 19  # 8 rows a choice and group


@dataclass(frozen=True, slots=True)
class Tile:
    """Block `left` against block `right`, left <= right: against itself where they are equal."""

    left: int
    right: int

    @property
    def name(self) -> str:
        """How its file is named."""
        return f"tile-{self.left:03d}-{self.right:03d}"


@dataclass(frozen=True, slots=True)
class TilePlan:
    """How R rows are cut: into blocks of `block_rows`, the last one smaller."""

    rows: int
    block_rows: int

    @classmethod
    def of(cls, rows: int, *, pruned: bool = False) -> TilePlan:
        """Return the one plan for so many rows."""
        least = LEAST_PRUNED_ROWS if pruned else LEAST_ROWS
        return cls(rows, max(least, -(-rows // MOST_BLOCKS)))

    @property
    def blocks(self) -> range:
        """The numbers of the blocks."""
        return range(-(-self.rows // self.block_rows))

    def tiles(self, task: Task | None = None) -> list[Tile]:
        """Return all tiles, or those of one task; those of one left block stand together."""
        every = [Tile(left, right) for left in self.blocks for right in self.blocks[left:]]
        return every[task.number - 1 :: task.of] if task else every

    def tasks_of(self, tiles: Iterable[Tile], count: int) -> list[Task]:
        """Return which of `count` tasks some tiles belong to."""
        wanted = set(tiles)
        numbers = {index % count for index, tile in enumerate(self.tiles()) if tile in wanted}
        return [Task(count, number + 1) for number in sorted(numbers)]

    def span(self, block: int) -> tuple[int, int]:
        """Return the first row of a block and the row after its last."""
        first = block * self.block_rows
        return first, min(first + self.block_rows, self.rows)


@dataclass(frozen=True, slots=True)
class Block:
    """M rows that differ, and who was left out for that.

    rows: int64 (M,), their numbers, ascending. descriptors: (M, D). first, twin: int64 (T,), the
    rows left out, `twin`, and to which of the others each is identical. groups: None to look at
    every cell.
    """

    rows: Indices
    descriptors: NDArray[Any]
    first: Indices
    twin: Indices
    groups: Grouped | None

    @classmethod
    def of(cls, rows: Indices, descriptors: NDArray[Any], choices: int | None = None) -> Block:
        """Collapse identical rows; let each of the others join `choices` groups."""
        first_M, group = collapse(descriptors)
        twins = np.flatnonzero(first_M[group] != np.arange(len(group)))
        kept = descriptors[first_M]
        groups = None if choices is None else Grouped.of(kept, choices)
        return cls(rows[first_M], kept, rows[first_M[group[twins]]], rows[twins], groups)


@dataclass(frozen=True, slots=True)
class TilePairs:
    """What a tile found, or all of them together, in row numbers.

    pairs: of rows that differ, left < right, each in the name of all rows identical to it.
    first, twin: int64 (T,), rows that are identical. forest: there were too many pairs, and these
    are a maximum spanning forest of them.
    """

    pairs: Pairs
    first: Indices
    twin: Indices
    forest: bool = False

    @property
    def rows(self) -> Indices:
        """The numbers of all rows that have a copy, int64, ascending."""
        return np.unique(np.concatenate([*_ends(self.pairs), self.first, self.twin]))


def join_tile(left: Block, right: Block, threshold: float, gpu: str | None = None) -> TilePairs:
    """Find the pairs of a tile; `right` is `left` itself on the diagonal.

    Args: gpu: what looks at every cell, if any; groups are searched by the CPU.
    """
    try:
        cells = _ends_of_cells(left, right, threshold - MARGIN, gpu)
        most = most_held(len(left.rows) + len(right.rows))
        found = pairs_among(cells, left.descriptors, right.descriptors, threshold, most=most)
        forest = False
    except TooManyPairsError:
        found, forest = _forest(left, right, threshold), True
    pairs = Pairs(left.rows[found.left], right.rows[found.right], found.similarity)
    if right is left:
        return TilePairs(pairs, left.first, left.twin, forest)
    identical = np.flatnonzero(found.similarity == 1)
    one, other = found.left[identical], found.right[identical]
    identical = identical[(left.descriptors[one] == right.descriptors[other]).all(axis=1)]
    first, twin = pairs.left[identical], pairs.right[identical]
    others = np.delete(np.arange(len(pairs)), identical)
    return TilePairs(pairs.chosen(others), first, twin, forest)


def _ends_of_cells(
    left: Block, right: Block, cut: float, gpu: str | None
) -> Iterator[tuple[Indices, Indices]]:
    if gpu is None or left.groups:
        return (block.marked() for block in _cells(left, right, cut))
    from sscd_cli.matching.cuda import marked_cells

    return marked_cells(left.descriptors, right.descriptors, cut, gpu)


def _cells(left: Block, right: Block, cut: float) -> Iterator[Cells]:
    rows = left.descriptors, right.descriptors
    if left.groups and right.groups:
        return cells_in_groups(rows, (left.groups, right.groups), cut)
    count = len(rows[0]) * len(rows[1])
    if right is left:
        return cells_within(rows[0], cut, plan(*rows, cut, count / 2))
    return cells_across(*rows, cut, plan(*rows, cut, count))


def _forest(left: Block, right: Block, threshold: float) -> Pairs:
    """Return a maximum spanning forest of the pairs of a tile, as rows of its two blocks."""
    cells = _cells(left, right, threshold - MARGIN)
    if right is left:
        return forest_of(left.descriptors, threshold, cells)
    before = len(left.rows)
    after = (Cells(block.left, block.right + before, block.above) for block in cells)
    forest = forest_of(np.concatenate([left.descriptors, right.descriptors]), threshold, after)
    return Pairs(forest.left, forest.right - before, forest.similarity)


def merged_tiles(tiles: Iterable[TilePairs], rows: int) -> TilePairs:
    """Return what all tiles of a dataset of so many rows found, reading one after the other.

    Memory: 40 bytes a pair, of which more than `most_held` are thinned to a forest.
    """
    held, first, twin = [Pairs.none()], [_NONE], [_NONE]
    waiting, forest = 0, False
    for tile in tiles:
        held.append(tile.pairs)
        first.append(tile.first)
        twin.append(tile.twin)
        waiting, forest = waiting + len(tile.pairs), forest or tile.forest
        if waiting > most_held(rows):
            held, forest = [_thinned(merged(held))], True
            waiting = len(held[0])
    return TilePairs(merged(held), np.concatenate(first), np.concatenate(twin), forest)


def _thinned(pairs: Pairs) -> Pairs:
    """Return a maximum spanning forest; memory by the rows that it joins."""
    rows, place = np.unique(np.concatenate(_ends(pairs)), return_inverse=True)
    left, right = np.split(place, 2)
    forest = spanning_forest(len(rows), Pairs(left, right, pairs.similarity))
    return Pairs(rows[forest.left], rows[forest.right], forest.similarity)


def copies_of(
    found: TilePairs, numbers_M: Indices, threshold: float, descriptors_MD: NDArray[Any]
) -> Copies:
    """Return what `find_copies` returns of the rows that have a copy.

    Args: numbers_M: the numbers of those of `found.rows` that count, ascending; the others are
        represented by their twins that do. descriptors_MD: looked at only where a row held a
        forest together that does not count.
    """
    rows = found.rows
    first, twin = (np.searchsorted(rows, ends) for ends in (found.first, found.twin))
    identity = labels(len(rows), first, twin)
    here = identity[np.searchsorted(rows, numbers_M)]
    first_of_each, group_M = numbered_by_first(here)
    number = np.full(len(rows), -1)
    number[here] = group_M
    left, right = (number[identity[np.searchsorted(rows, ends)]] for ends in _ends(found.pairs))
    counted = (left >= 0) & (right >= 0)
    if found.forest and not counted.all():
        forest = forest_of(descriptors_MD[first_of_each], threshold)
        return Copies(group_M, forest, forest_at=threshold)
    ends = np.minimum(left, right), np.maximum(left, right)
    between = np.flatnonzero(counted & (left != right))
    pairs = merged([Pairs(*ends, found.pairs.similarity).chosen(between)])
    return Copies(group_M, pairs, forest_at=threshold if found.forest else None)


def _ends(pairs: Pairs) -> tuple[Indices, Indices]:
    return pairs.left, pairs.right


_NONE = np.empty(0, np.int64)
