"""All pairs of descriptors at or above a similarity threshold.

Two steps: choose candidates a little below the threshold, among all cells of the matrix of
similarities ("exact", "sketch") or those of coarse groups ("groups"), then compute the similarity
of every candidate by one row-wise routine and cut. So neither the method, nor the block size, nor
the number of threads shows in a reported similarity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sscd_cli.choices import METHODS, Method, check_word
from sscd_cli.errors import SscdError
from sscd_cli.machines.hardware import has_cuda_driver, memory_bytes
from sscd_cli.machines.stages import each
from sscd_cli.matching import sketches
from sscd_cli.matching.cells import cells_across, cells_within, tiles_within
from sscd_cli.matching.groups import MISSED, Grouping, cells_of_groups, plan_groups
from sscd_cli.matching.products import Comparison, Indices, plan, plan_sketches

Bias = NDArray[np.float32]
Ends = Iterable[tuple[Indices, Indices]]

EXACT_SECONDS = 5.0  # up to here nothing is gained by missing a pair
GPU_SECONDS = 10.0  # and up to here nothing by loading PyTorch and warming a GPU up

# Rounding to float16 changes a row's length by up to 2^-11, so a cosine of 1 may come out as a
# product of 0.999; float32 rounding, 1e-6, vanishes beside it.
MARGIN = 1e-3
_RESCORE_ROWS = 256
_BATCH = 1 << 22  # cells: those that several groups name are then scored once
_BYTES_PER_PAIR = 120  # at the peak of join and clustering, measured


@dataclass(frozen=True, slots=True)
class Pairs:
    """Matching rows, each pair once, sorted by (left, right).

    left, right: int64 (P,), row numbers. Within one set left < right; between two sets left is
        a row of the queries and right one of the references.
    similarity: float32 (P,), in [-1, 1], less the biases where there are some.
    """

    left: Indices
    right: Indices
    similarity: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.left)

    @classmethod
    def none(cls) -> Pairs:
        """Return no pairs at all."""
        rows = np.empty(0, np.int64)
        return cls(rows, rows, np.empty(0, np.float32))

    def ranked(self, places: Indices) -> tuple[Indices, Indices]:
        """Return places of pairs by their left rows, and which of its row's each is.

        The most alike of a row is its 0th.
        """
        left = self.left[places]
        order = np.lexsort((-self.similarity[places], left))
        first = np.searchsorted(left[order], left[order])
        return places[order], np.arange(len(places)) - first

    def renumbered(self, number_N: Indices) -> Pairs:
        """Return the pairs of rows that still have a number, under it; -1 is none.

        number_N: ascending where it is not -1, so that the order of the pairs stays.
        """
        left, right = number_N[self.left], number_N[self.right]
        kept = (left >= 0) & (right >= 0)
        return Pairs(left[kept], right[kept], self.similarity[kept])

    def chosen(self, some_P: NDArray[np.bool_] | Indices) -> Pairs:
        """Return the pairs of a mask, or those at some places."""
        return Pairs(self.left[some_P], self.right[some_P], self.similarity[some_P])


class TooManyPairsError(SscdError):
    """There are more pairs than can be held."""


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """How a join will go: the method chosen, and what it is expected to take.

    seconds: measured constants of one machine times the work, or of a GPU what a tile took it.
    memory_bytes: beside the descriptors, without the pairs. comparison: of two rows, all of them
    or those of `groups`. device: None is the CPU.
    """

    method: Literal["exact", "sketch", "groups"]
    seconds: float
    memory_bytes: int
    comparison: Comparison
    groups: Grouping | None = None
    device: str | None = None


def plan_join(
    descriptors_ND: NDArray[Any],
    threshold: float,
    method: Method = "auto",
    device: str = "cpu",
    min_recall: float = 0.0,
) -> JoinPlan:
    """Choose how to find the pairs of a set by what each way will cost.

    Args: as `find_pairs`. device: see `gpu_for`; sketches are compared by the CPU, and "auto" is
        a GPU only if that is faster. min_recall: the least share of the pairs right at the
        threshold that must be found; 1 is exact.
    Raises: UsageError: unknown method. SscdError: the device that was named does not work.
    """
    check_word("method", method, METHODS)
    planned = _plan_on_cpu(descriptors_ND, threshold, method, 1 - min_recall)
    gpu = gpu_for(device, planned.seconds) if method in {"auto", "exact"} else None
    if gpu is None:
        return planned
    from sscd_cli.matching.cuda import HELD, seconds_a_cell

    rows, dimensions = descriptors_ND.shape
    seconds = rows**2 / 2 * seconds_a_cell(gpu, dimensions)
    if device == "auto" and seconds > planned.seconds:
        return planned
    return JoinPlan("exact", seconds, 2 * dimensions * HELD, planned.comparison, device=gpu)


def gpu_for(device: str, seconds: float) -> str | None:
    """Return the GPU for what takes the CPU so long.

    Args: device: "cpu"; "auto" is a GPU for work of more than seconds, where there is one that
        works; another name is returned as it is.
    """
    if device == "cpu":
        return None
    if device != "auto":
        return device
    if seconds < GPU_SECONDS or not has_cuda_driver():
        return None
    from sscd_cli.matching.cuda import has_gpu

    return "cuda" if has_gpu() else None


def _plan_on_cpu(
    descriptors_ND: NDArray[Any], threshold: float, method: Method, missed: float
) -> JoinPlan:
    rows, cut = len(descriptors_ND), threshold - MARGIN
    comparison = plan(descriptors_ND, descriptors_ND, cut, rows**2 / 2)
    plans = [_all_cells("exact", comparison, rows)]
    fast = method == "auto" and comparison.seconds <= EXACT_SECONDS
    if method == "exact" or fast or missed < sketches.MISSED:
        return plans[0]
    sketch = plan_sketches(descriptors_ND, cut, rows**2 / 2)
    if sketch is None:
        return plans[0]
    plans.append(_all_cells("sketch", sketch, rows))
    if method == "groups" or (method == "auto" and sketch.seconds > EXACT_SECONDS):
        missed = min(MISSED, missed - sketches.MISSED)
        groups = plan_groups(descriptors_ND, threshold, cut, missed)
        if groups:
            held = rows * groups.row_bytes
            plans.append(JoinPlan("groups", groups.seconds, held, groups.sketch, groups))
    if method == "auto":
        return min(plans, key=lambda found: found.seconds)
    return plans[-1] if plans[-1].method == method else plans[0]


def _all_cells(method: Literal["exact", "sketch"], comparison: Comparison, rows: int) -> JoinPlan:
    return JoinPlan(method, comparison.seconds, rows * comparison.row_bytes, comparison)


def find_pairs(
    descriptors_ND: NDArray[Any],
    threshold: float,
    method: Method = "auto",
    bias_N: Bias | None = None,
    how: JoinPlan | None = None,
    most: int | None = None,
    device: str = "cpu",
) -> Pairs:
    """Return every pair of rows whose similarity is at least `threshold`.

    Args: descriptors_ND: float16 or float32 (N, D), rows of about unit length. threshold: cosine,
        compared in float32; a pair exactly on it counts. method: "exact"; "sketch", which misses
        1 in 7,000 of the pairs right at the threshold and far fewer above it; "groups",
        which misses 1 in 1,000 of them; both are exact where they cannot help; "auto": exact
        where that takes seconds, else the fastest. bias_N: a pair's similarity is its cosine
        less the mean of its two biases, and the threshold is one of that. how: what `plan_join`
        said. most: pairs, by default what memory holds. device: see `plan_join`; the pairs are
        the same.
    Returns: pairs with left < right. Memory: 20 bytes a pair (twice that while sorting) and
        the plan's; g identical rows make g²/2 pairs, so `collapse` them first.
    Raises: UsageError: unknown method. TooManyPairsError: more than `most`.
    """
    least = least_cosine(threshold, bias_N)
    how = how or plan_join(descriptors_ND, least, method, device)
    if how.groups:
        cells: Ends = cells_of_groups(descriptors_ND, least - MARGIN, how.groups)
    elif how.device:
        from sscd_cli.matching.cuda import marked_cells

        cells = marked_cells(descriptors_ND, descriptors_ND, least - MARGIN, how.device)
    else:
        blocks = cells_within(descriptors_ND, least - MARGIN, how.comparison)
        cells = (block.marked() for block in blocks)
    tiles = None if how.groups or how.device else tiles_within(len(descriptors_ND))
    cells = each(cells, "comparing images", tiles, unit="%")
    half_N = None if bias_N is None else np.float32(0.5) * bias_N
    sides = _Side(descriptors_ND, half_N), _Side(descriptors_ND, half_N)
    return _collected(_rescored(*sides, cells, threshold), threshold, most)


def cross_pairs(
    queries_QD: NDArray[Any],
    references_RD: NDArray[Any],
    threshold: float,
    bias_Q: Bias | None = None,
    device: str = "cpu",
) -> Pairs:
    """Return every (query, reference) whose similarity is at least `threshold`.

    As the exact `find_pairs`, between two sets: `left` is the query's row and `right` the
    reference's. A similarity is the cosine less the query's bias.
    """
    cut = least_cosine(threshold, bias_Q) - MARGIN
    how = plan(queries_QD, references_RD, cut, len(queries_QD) * len(references_RD))
    gpu = gpu_for(device, how.seconds)
    if gpu:
        from sscd_cli.matching.cuda import marked_cells

        # a view, for of one and the same array it looks at half of the cells
        cells: Ends = marked_cells(queries_QD, references_RD[:], cut, gpu)
    else:
        blocks = cells_across(queries_QD, references_RD, cut, how)
        cells = (block.marked() for block in blocks)
    return pairs_among(cells, queries_QD, references_RD, threshold, bias_Q)


def pairs_among(
    cells: Ends,
    left_ND: NDArray[Any],
    right_MD: NDArray[Any],
    threshold: float,
    bias_N: Bias | None = None,
    most: int | None = None,
) -> Pairs:
    """Return the pairs among some cells, (left, right). Raises: as `find_pairs`."""
    sides = _Side(left_ND, bias_N), _Side(right_MD)
    return _collected(_rescored(*sides, cells, threshold), threshold, most)


def least_cosine(threshold: float, bias_N: Bias | None) -> float:
    """Return the smallest cosine that a pair can have which reaches `threshold` less its bias."""
    return threshold if bias_N is None else threshold + float(bias_N.min(initial=2.0))


def similarities(
    left_MD: NDArray[Any], left_P: Indices, right_MD: NDArray[Any], right_P: Indices
) -> NDArray[np.float32]:
    """Return the similarity of row left_P[i] of `left_MD` to row right_P[i] of `right_MD`.

    Returns: float32 (P,): the float32 dot product, clipped to [-1, 1]; 1.0 for identical rows,
        whose product differs from it by the rounding of their length. The same for (a, b) and
        (b, a), however many pairs are asked for at once. Memory beside the result: 8 MiB at
        D = 512.
    """
    similarity = np.empty(len(left_P), np.float32)
    for start in range(0, len(left_P), _RESCORE_ROWS):
        part = slice(start, start + _RESCORE_ROWS)
        left = left_MD[left_P[part]].astype(np.float32)
        right = right_MD[right_P[part]].astype(np.float32)
        scores = np.einsum("pd,pd->p", left, right)
        near = np.flatnonzero(scores > 1 - 2 * MARGIN)
        scores[near[(left[near] == right[near]).all(axis=1)]] = 1.0
        np.clip(scores, -1.0, 1.0, out=similarity[part])
    return similarity


def similarity_matrix(left_ND: NDArray[Any], right_MD: NDArray[Any]) -> NDArray[np.float32]:
    """Return the cosine similarities of two sets of descriptors, float32 (N, M), in [-1, 1].

    Either may be one descriptor (D,); its axis is then missing from the result.
    """
    product = np.asarray(left_ND, np.float32) @ np.asarray(right_MD, np.float32).T
    clipped: NDArray[np.float32] = np.clip(product, -1.0, 1.0)
    return clipped


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two sets of a join, and what is taken from the similarities of its rows."""

    rows: NDArray[Any]
    bias: Bias | None = None


def _rescored(left: _Side, right: _Side, cells: Ends, threshold: float) -> Iterator[Pairs]:
    """Yield the pairs at the threshold among some cells, in batches."""
    for key in _batches(cells, len(right.rows)):
        ends = np.divmod(key, len(right.rows))
        similarity = similarities(left.rows, ends[0], right.rows, ends[1])
        for rows, side in zip(ends, (left, right), strict=True):
            if side.bias is not None:
                similarity -= side.bias[rows]
        kept = similarity >= np.float32(threshold)
        yield Pairs(ends[0][kept], ends[1][kept], similarity[kept])


def _batches(cells: Ends, columns: int) -> Iterator[Indices]:
    """Yield cells in large batches, as row times columns plus column, sorted and unique."""
    waiting: list[Indices] = []
    count = 0
    for left, right in cells:
        waiting.append(left * columns + right)
        count += len(left)
        if count >= _BATCH:
            yield _unique(np.concatenate(waiting))
            waiting, count = [], 0
    if count:
        yield _unique(np.concatenate(waiting))


def _unique(keys: Indices) -> Indices:
    """Return the sorted distinct keys, ten times as fast as `np.unique`, which hashes them."""
    keys.sort()
    return keys[np.diff(keys, prepend=-1) > 0]


def _collected(batches: Iterable[Pairs], threshold: float, most: int | None = None) -> Pairs:
    """Return the pairs of all batches, sorted, each once."""
    found = [Pairs.none()]
    most = most or most_pairs()
    room = most
    for pairs in batches:
        found.append(pairs)
        room -= len(pairs)
        if room < 0:
            raise TooManyPairsError(
                f"more than {most:,} pairs have a similarity of {threshold} or more, "
                "which is more than the memory can hold",
                "raise the threshold or use a machine with more memory",
            )
    return merged(found)


def merged(parts: Sequence[Pairs]) -> Pairs:
    """Return pairs of several batches as one, sorted, each once."""
    left = np.concatenate([pairs.left for pairs in parts])
    right = np.concatenate([pairs.right for pairs in parts])
    similarity = np.concatenate([pairs.similarity for pairs in parts])
    order = np.lexsort((right, left))
    left, right, similarity = left[order], right[order], similarity[order]
    first = np.ones(len(left), np.bool_)
    first[1:] = (np.diff(left) != 0) | (np.diff(right) != 0)
    return Pairs(left[first], right[first], similarity[first])


def numbered(pairs: Pairs, number_N: Indices) -> Pairs:
    """Return pairs under other row numbers, the smaller to the left, sorted."""
    ends = number_N[pairs.left], number_N[pairs.right]
    return merged([Pairs(np.minimum(*ends), np.maximum(*ends), pairs.similarity)])


def most_pairs() -> int:
    """Return how many pairs can be joined and clustered in the memory that we may use."""
    return memory_bytes() // _BYTES_PER_PAIR
