"""The join in tiles: every pair of two fixed blocks of rows is a piece of work of its own.

B blocks make B (B + 1) / 2 tiles. Tile t belongs to task t mod N + 1 of N, whoever runs it, and
its pairs are the same wherever and whenever it is joined: a pair is chosen and scored by its two
rows alone. Rows are numbered as they lie in the shards, older and unreadable ones too, so that a
tile needs two blocks of descriptors and no names; `together` leaves out what does not count.

Shape legend: R numbered rows, N rows that count, U groups of identical rows, P pairs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.matching.clusters import Copies, collapse
from sscd_cli.matching.join import Pairs, cross_pairs, find_pairs
from sscd_cli.matching.products import Indices
from sscd_cli.matching.recall import sampled_recall
from sscd_cli.options import Method
from sscd_cli.tasks import Task

MOST_BLOCKS = 128  # 8,256 tiles: enough for a thousand machines, few enough for a folder
LEAST_ROWS = 32_768


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
    def of(cls, rows: int) -> TilePlan:
        """Return the one plan for so many rows."""
        return cls(rows, max(LEAST_ROWS, -(-rows // MOST_BLOCKS)))

    def tiles(self, task: Task | None = None) -> list[Tile]:
        """Return all tiles, or those of one task; those of one left block stand together."""
        blocks = range(-(-self.rows // self.block_rows))
        every = [Tile(left, right) for left in blocks for right in blocks[left:]]
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
    """M rows that have a descriptor. rows: int64 (M,), their numbers, ascending."""

    rows: Indices
    descriptors: NDArray[Any]  # (M, D)


@dataclass(frozen=True, slots=True)
class TilePairs:
    """What a tile found, in row numbers.

    pairs: of rows that differ, each in the name of all rows that are identical to it. first,
    twin: int64 (T,), the rows of the tile's one block that are identical to an earlier one.
    """

    pairs: Pairs
    first: Indices
    twin: Indices


def join_tile(
    left: Block, right: Block, threshold: float, method: Method, device: str = "cpu"
) -> TilePairs:
    """Find the pairs of a tile; `right` is `left` itself on the diagonal.

    Args: threshold, method, device: as in `find_pairs`; "auto" would choose by the block's size.
    """
    first, twin, ours = _distinct(left)
    if right is left:
        found = find_pairs(ours.descriptors, threshold, method, device=device)
        pairs = Pairs(ours.rows[found.left], ours.rows[found.right], found.similarity)
        return TilePairs(pairs, first, twin)
    _, _, theirs = _distinct(right)
    found = cross_pairs(ours.descriptors, theirs.descriptors, threshold, device=device)
    pairs = Pairs(ours.rows[found.left], theirs.rows[found.right], found.similarity)
    none = np.empty(0, np.int64)
    return TilePairs(pairs, none, none)


def _distinct(block: Block) -> tuple[Indices, Indices, Block]:
    """Return (first, twin) rows that are identical, and a block without the twins."""
    first_U, group_M = collapse(block.descriptors)
    twins = np.flatnonzero(first_U[group_M] != np.arange(len(group_M)))
    first = block.rows[first_U[group_M[twins]]]
    kept = Block(block.rows[first_U], block.descriptors[first_U])
    return first, block.rows[twins], kept


def copies_of(
    tiles: Iterable[TilePairs],
    numbers_N: Indices,
    descriptors_ND: NDArray[Any],
    threshold: float,
    method: Method,
) -> Copies:
    """Return what `find_copies` returns, from all tiles of a dataset.

    Args: numbers_N: the number of each row, ascending. threshold, method: of the tiles.
    """
    first_U, group_N = collapse(descriptors_ND)
    pairs = together(tiles, numbers_N, group_N)
    if method == "exact":
        return Copies(group_N, pairs)
    return Copies(group_N, pairs, sampled_recall(descriptors_ND[first_U], pairs, threshold))


def together(tiles: Iterable[TilePairs], numbers_N: Indices, group_N: Indices) -> Pairs:
    """Return the pairs of groups that all tiles found, the very ones that one join finds.

    Args: numbers_N: the number of each row that counts. group_N: from `collapse`, of those rows.
    Returns: pairs of groups, sorted, each once. Memory: 8·R bytes and 80 a pair.
    """
    found = list(tiles)
    ends = [tile.pairs.right for tile in found] + [tile.twin for tile in found] + [numbers_N]
    group_R = np.full(1 + max(int(rows.max(initial=0)) for rows in ends), -1)
    group_R[numbers_N] = group_N
    for tile in found:
        # a row that no longer counts stands for the twins that do
        stands = (group_R[tile.first] < 0) & (group_R[tile.twin] >= 0)
        group_R[tile.first[stands]] = group_R[tile.twin[stands]]
    left = np.concatenate([_NONE, *(group_R[tile.pairs.left] for tile in found)])
    right = np.concatenate([_NONE, *(group_R[tile.pairs.right] for tile in found)])
    similarity = np.concatenate([_NO_SCORE, *(tile.pairs.similarity for tile in found)])
    kept = (left >= 0) & (right >= 0) & (left != right)
    left, right, similarity = left[kept], right[kept], similarity[kept]
    low, high = np.minimum(left, right), np.maximum(left, right)
    _, once = np.unique(low * (int(group_N.max(initial=0)) + 1) + high, return_index=True)
    return Pairs(low[once], high[once], similarity[once])


_NONE = np.empty(0, np.int64)
_NO_SCORE = np.empty(0, np.float32)
