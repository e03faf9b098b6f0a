"""Which animations and files of pages are copies in all that they show, not only at first.

Shape legend: N rows, P pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.advice.pictures import frames_at
from sscd_cli.advice.pixels.verdict import second_look, small
from sscd_cli.choices import CONFIRMED
from sscd_cli.descriptors.read import DescriptorSet
from sscd_cli.machines.hardware import core_count, lacking
from sscd_cli.machines.stages import each
from sscd_cli.matching.copies import Copies
from sscd_cli.matching.forest import labels
from sscd_cli.matching.join import Pairs
from sscd_cli.matching.products import Indices

Shown = tuple[NDArray[np.uint8], ...]

_MOST = 8  # rows of a group
_HELD = 64  # files whose frames are in memory, some 1 MB each
_FLAT = 8  # grey levels: such a frame, of a fade for instance, holds nothing to compare
_TONE = 6.0  # grey levels by which flat frames may differ


def same_animations(
    stored: DescriptorSet,
    copies: Copies,
    threshold: float,
    exact_N: Indices,
    among_N: NDArray[np.bool_],
) -> Indices:
    """Number the pictures as `exact_N` does, those alike that show the same frames.

    Two files do if they have as many frames and a second look confirms their first frames, those
    at the quarters, and the last.

    Args: threshold: of the pairs to look at. among_N: rows to look at; files of one frame, or
        that cannot be read, stay as they are.
    """
    frames = stored.columns["frames"]
    among = among_N & (frames > 1)
    found = _candidates(copies, threshold, frames, among)
    pairs = [(a, b) for a, b in found if exact_N[a] != exact_N[b]]
    if not pairs:
        return exact_N
    shown = lru_cache(_HELD)(lambda row: _shown(stored, row))
    with ThreadPoolExecutor(core_count()) as pool:
        looks = pool.map(lambda pair: _same(shown(pair[0]), shown(pair[1])), pairs)
        same = list(each(looks, "frames of animations", len(pairs)))
    return _joined(exact_N, [pair for pair, said in zip(pairs, same, strict=True) if said])


def same_between(ours: DescriptorSet, theirs: DescriptorSet, pairs: Pairs) -> NDArray[np.bool_]:
    """Return which pairs of files of two sets show the same frames, bool (P,), as above.

    Of a file of ours the `_MOST` pairs that are most alike are looked at.
    """
    frames = ours.columns["frames"][pairs.left], theirs.columns["frames"][pairs.right]
    fitting, rank = pairs.ranked(np.flatnonzero((frames[0] > 1) & (frames[0] == frames[1])))
    places = fitting[rank < _MOST]
    left = lru_cache(_HELD)(lambda row: _shown(ours, row))
    right = lru_cache(_HELD)(lambda row: _shown(theirs, row))

    def look(place: int) -> bool:
        return _same(left(int(pairs.left[place])), right(int(pairs.right[place])))

    same = np.zeros(len(pairs), np.bool_)
    with ThreadPoolExecutor(core_count()) as pool:
        looks = pool.map(look, places.tolist())
        same[places] = list(each(looks, "frames of animations", len(places)))
    return same


def _candidates(
    copies: Copies, threshold: float, frames_N: Indices, among_N: NDArray[np.bool_]
) -> Iterator[tuple[int, int]]:
    """Yield pairs of rows with as many frames: of each group, and of each pair of groups.

    Of the rows of a group that have as many, the first `_MOST` are paired with each other, and
    the rest with the first.
    """
    rows: defaultdict[int, defaultdict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in np.flatnonzero(among_N).tolist():
        rows[int(copies.group[row])][int(frames_N[row])].append(row)
    for by_frames in rows.values():
        for some in by_frames.values():
            yield from combinations(some[:_MOST], 2)
            yield from product(some[:1], some[_MOST:])
    pairs = copies.pairs.chosen(copies.pairs.similarity >= np.float32(threshold))
    for left, right in zip(pairs.left.tolist(), pairs.right.tolist(), strict=True):
        if left in rows and right in rows:
            for frames in rows[left].keys() & rows[right].keys():
                yield from product(rows[left][frames][:_MOST], rows[right][frames][:_MOST])


def _shown(stored: DescriptorSet, row: int) -> Shown:
    try:
        return tuple(small(frame) for frame in frames_at(stored, row))
    except Exception as error:
        if lacking(error):
            raise
        return ()


def _same(one: Shown, other: Shown) -> bool:
    """Whether frames pair off as copies, of which at least one pair holds something to compare."""
    if not one or len(one) != len(other):
        return False
    pairs = list(zip(one, other, strict=True))
    flat = [all(map(_is_flat, pair)) for pair in pairs]
    if all(flat):
        return False
    return all(
        _is_of_one_tone(*pair) if is_flat else second_look(*pair) == CONFIRMED
        for pair, is_flat in zip(pairs, flat, strict=True)
    )


def _is_of_one_tone(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    return bool(np.abs(one.mean((0, 1)) - other.mean((0, 1))).max() <= _TONE)


def _is_flat(picture: NDArray[np.uint8]) -> bool:
    return int(np.ptp(picture, axis=(0, 1)).max()) <= _FLAT


def _joined(exact_N: Indices, same: list[tuple[Any, Any]]) -> Indices:
    """Give the pictures of each pair one number."""
    if not same:
        return exact_N
    numbers, place = np.unique(exact_N, return_inverse=True)
    left, right = np.array([sorted((place[a], place[b])) for a, b in same], np.int64).T
    joined: Indices = labels(len(numbers), left, right)[place]
    return joined
