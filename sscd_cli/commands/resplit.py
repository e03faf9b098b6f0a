"""Sets of the same sizes that share no copies, made of sets that do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sscd_cli.commands.split_pairs import Judge, SplitPair
from sscd_cli.commands.splits import Split, short_names
from sscd_cli.errors import cannot_write
from sscd_cli.matching.doubts import as_keys
from sscd_cli.matching.forest import leaving
from sscd_cli.matching.join import Pairs, merged
from sscd_cli.reports.formats import path_lines
from sscd_cli.storage.files import output_file
from sscd_cli.storage.servers import is_url

_AT_ONCE = 1000  # candidates of which copies are looked for, at least


@dataclass(frozen=True)
class NewSplit:
    """A set divided anew. file: the list. moved: how many images left it. lacking: how many it
    has fewer than before, where too few others are like no image of the last set.
    """

    name: str
    file: Path
    moved: int
    lacking: int


def resplit(
    sets: Sequence[Split], pairs: Sequence[SplitPair], judge: Judge, folder: Path
) -> list[NewSplit]:
    """Divide the images of all sets anew, and write a list of each into a folder.

    A cluster that lies in several sets goes whole to the last one. In its place come images from
    there that are like no other, drawn by their contents: the same ones in every run.

    Args: pairs: of the sets.
    Raises: SscdError: a list cannot be written; UsageError: a name holds a line break.
    """
    *others, last = sets
    stays = _staying(sets, pairs, judge)
    gone = [int((~kept).sum()) for kept in stays]
    drawn = _drawn(last, pairs, judge, sum(gone))
    remains = np.ones(len(last), np.bool_)
    remains[drawn] = False
    files = [folder / f"{name}.txt" for name in short_names(tuple(split.name for split in sets))]
    made, left = [], []
    for split, kept, came in zip(others, stays, np.split(drawn, np.cumsum(gone)[:-1]), strict=True):
        made.append([*_paths(split, np.flatnonzero(kept)), *_paths(last, came)])
        left += _paths(split, np.flatnonzero(~kept))
    made.append([*_paths(last, np.flatnonzero(remains)), *left])
    for file, paths in zip(files, made, strict=True):
        _write(file, paths)
    return [
        NewSplit(split.name, file, moved, max(0, len(split) - len(paths)))
        for split, file, moved, paths in zip(sets, files, [*gone, len(drawn)], made, strict=True)
    ]


def _staying(
    sets: Sequence[Split], pairs: Sequence[SplitPair], judge: Judge
) -> list[NDArray[np.bool_]]:
    """Return for each set but the last the rows that stay in it, bool (N,)."""
    *others, last = sets
    starts = np.cumsum([0, *map(len, others)])
    start = {split.name: int(place) for split, place in zip(others, starts[:-1], strict=True)}
    touches = np.zeros(starts[-1], np.bool_)
    links = [_moved(judge.copies(split, split), *2 * (start[split.name],)) for split in others]
    for pair in pairs:
        found = pair.found.pairs.chosen(pair.leaking())
        if pair.train is last:
            touches[found.left + start[pair.test.name]] = True
        else:
            links.append(_moved(found, start[pair.test.name], start[pair.train.name]))
    set_N = np.repeat(np.arange(len(others)), [len(split) for split in others])
    out = leaving(set_N, merged(links), touches)
    return [~part for part in np.split(out, starts[1:-1])]


def _moved(pairs: Pairs, left: int, right: int) -> Pairs:
    """Return pairs whose rows have other numbers, of two rows one way only."""
    one, other = pairs.left + left, pairs.right + right
    moved = Pairs(one, other, pairs.similarity)
    return moved.chosen(one < other)


def _drawn(last: Split, pairs: Sequence[SplitPair], judge: Judge, count: int) -> NDArray[np.int64]:
    """Return rows of the last set that have no copy in any set: `count`, if there are so many."""
    free = np.ones(len(last), np.bool_)
    for pair in pairs:
        if pair.train is last:
            free[pair.found.pairs.right[pair.leaking()]] = False
    order = np.argsort(as_keys(last.stored.columns["content_hash"]), kind="stable")
    order = order[free[order]]
    drawn: list[int] = []
    while len(drawn) < count and len(order):
        some, order = np.split(order, [max(_AT_ONCE, 2 * (count - len(drawn)))])
        drawn += _alone(last, judge, some).tolist()
    return np.array(drawn[:count], np.int64)


def _alone(last: Split, judge: Judge, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return those of some rows of a set that have no copy in it, in their order."""
    mask = np.zeros(len(last), np.bool_)
    mask[rows] = True
    found = judge.copies(replace(last, stored=last.stored.select(mask)), last)
    ours = np.flatnonzero(mask)[found.left]
    return rows[~np.isin(rows, ours[ours != found.right])]


def _paths(split: Split, rows: NDArray[np.int64]) -> list[str]:
    return [split.stored.path(row) for row in rows.tolist()]


def _write(file: Path, paths: list[str]) -> None:
    """Write a list whose names are relative to its folder, as lists are read."""
    names = (path if is_url(path) else _relative(path, file.parent) for path in paths)
    fix = "name another folder with --resplit"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(file, error, fix) from error
    with output_file(file, fix) as stream:
        for line in path_lines(names, null=False):
            stream.write(line.encode("utf-8", "surrogateescape"))


def _relative(path: str, folder: Path) -> str:
    """Return a path as seen from a folder, through no link but the image itself."""
    parent, name = os.path.split(path)
    seen = os.path.relpath(os.path.realpath(parent), os.path.realpath(folder))
    return os.path.normpath(f"{seen}/{name}")
