"""Candidate pairs from coarse groups: rows meet only where they lie in the same direction.

Two sets of `side` random directions span side² groups, (i, j) for the sum of direction i of the
one and j of the other. Each row joins the `choices` groups whose sums it is nearest to, and is
compared with the rows of these groups only. Whether two rows share a group depends on their
angle and on chance, not on the data: so `choices` follows from a simulation at the threshold.

Groups that are too full for that (a placeholder, thousands of near-copies) are not searched one
by one: their rows, taken together, are joined exactly.

Source: Becker, Ducas, Gama, Laarhoven, "New directions in nearest neighbor searching with
applications to lattice sieving", SODA 2016 (filters from product codes); the multi-index of Babenko
and Lempitsky, "The inverted multi-index", CVPR 2012, for directions instead of centroids.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.machine import core_count
from sscd_cli.matching.cells import triangle
from sscd_cli.matching.products import Float32Product, Floats, Indices, Plan, shorten

SIDES = (128, 256)
CHOICES = (16, 32, 48, 64, 96, 128)
MISSED = 0.004  # of the pairs right at the threshold; of more similar ones far fewer
_SIMULATED = 4000
_SEED = 512
_BLOCK = 2048
_CELLS = 1 << 22  # of a batch of groups: 16 MiB of float32 scores
_PAD = 16
_A_GROUP, _A_ROW, _A_CHOICE = 5e-6, 2e-6, 1.5e-7  # core seconds, on Zen 4
_FULL = 1 / 256  # of all rows: a group with more is too full


@dataclass(frozen=True, slots=True)
class Grouping:
    """How rows are grouped, and what the join will then cost."""

    side: int
    choices: int
    seconds: float

    @property
    def row_bytes(self) -> int:
        """Memory a row: the numbers of its groups, their order, and the rows in this order."""
        return self.choices * (2 + 8 + 4)


def plan_groups(
    rows: int,
    dimensions: int,
    threshold: float,
    core_seconds_a_cell: float,
    missed: float = MISSED,
) -> Grouping | None:
    """Choose the cheapest grouping that misses so few of the pairs right at the threshold.

    Args: core_seconds_a_cell: what comparing two rows costs one core. missed: a share.
    Returns: None where there is none: at a low threshold rows must join too many groups.
    """
    plans = []
    for side in SIDES:
        choices = enough_choices(side, dimensions, threshold, missed)
        if choices:
            cells = (rows * choices / side) ** 2
            seconds = cells * core_seconds_a_cell + side**2 * _A_GROUP
            seconds += rows * (_A_ROW + _A_CHOICE * choices)
            plans.append(Grouping(side, choices, seconds / core_count()))
    return min(plans, key=lambda plan: plan.seconds, default=None)


def candidates(
    rows_ND: NDArray[Any], cut: float, how: Grouping, exact: Plan
) -> Iterator[tuple[Indices, Indices]]:
    """Yield (left, right) with left < right: nearly every pair at or above `cut`, many repeated.

    exact: how two rows are compared, in float32. cut: above 0.
    Memory: 14 bytes a choice of each row, the shortened rows, and 64 MiB a core.
    """
    short_Nd = shorten(rows_ND, exact.basis)
    members, starts = members_of_groups(rows_ND, how.side, how.choices)
    sizes = np.diff(starts)
    full = sizes > max(_FULL * len(rows_ND), 4 * sizes.mean())
    batches = _batches(members, starts, np.flatnonzero((sizes > 1) & ~full), len(rows_ND))
    with ThreadPoolExecutor(core_count()) as pool:
        buffers = local()
        for window in _windows(batches, 4 * core_count()):
            yield from pool.map(lambda batch: _within(short_Nd, batch, cut, buffers), window)
    crowd = np.zeros(len(rows_ND), np.bool_)
    for group in np.flatnonzero(full).tolist():
        crowd[members[starts[group] : starts[group + 1]]] = True
    product = Float32Product(short_Nd, short_Nd, cut)
    for block in triangle(product, np.flatnonzero(crowd)):
        yield block.marked()


def _batches(
    members: NDArray[np.int32], starts: Indices, groups: Indices, nobody: int
) -> Iterator[NDArray[np.int32]]:
    """Yield groups of about one size together, int32 (G, n), filled up with the row `nobody`."""
    sizes = np.diff(starts)[groups]
    groups = groups[np.argsort(sizes, kind="stable")]
    start = 0
    while start < len(groups):
        most = min(_CELLS // _padded(starts, groups[start]) ** 2, len(groups) - start) or 1
        # of the groups that fit in number, those that fit filled up to the largest, too
        while most > 1 and most * _padded(starts, groups[start + most - 1]) ** 2 > _CELLS:
            most = max(1, most * 7 // 8)
        together = groups[start : start + most]
        batch = np.full((most, _padded(starts, together[-1])), nobody, np.int32)
        for row, group in zip(batch, together.tolist(), strict=True):
            row[: starts[group + 1] - starts[group]] = members[starts[group] : starts[group + 1]]
        yield batch
        start += most


def _windows(batches: Iterator[NDArray[np.int32]], count: int) -> Iterator[list[NDArray[np.int32]]]:
    """Yield so many batches at a time: a pool takes all that it is given at once."""
    while window := list(islice(batches, count)):
        yield window


def _padded(starts: Indices, group: int) -> int:
    return int(-(starts[group] - starts[group + 1]) // -_PAD * -_PAD)


def _within(
    short_Nd: Floats, batch_Gn: NDArray[np.int32], cut: float, buffers: local
) -> tuple[Indices, Indices]:
    """Return the cells at or above the cut, of each group with itself."""
    groups, size = batch_Gn.shape
    if not hasattr(buffers, "scores"):  # one for each thread
        buffers.scores = np.empty(_CELLS, np.float32)
    rows = np.take(short_Nd, batch_Gn, axis=0, mode="clip")
    rows[batch_Gn == len(short_Nd)] = 0
    room = max(groups * size * size, 0)
    scores = buffers.scores[:room] if room <= _CELLS else np.empty(room, np.float32)
    scores = scores.reshape(groups, size, size)
    np.matmul(rows, rows.transpose(0, 2, 1), out=scores)
    above = scores >= np.float32(cut)
    above &= np.tri(size, k=-1, dtype=np.bool_).T
    flat = np.flatnonzero(above)
    place, column = np.divmod(flat, size)
    left = batch_Gn.ravel()[place]
    right = batch_Gn[place // size, column]
    return left.astype(np.int64), right.astype(np.int64)


def members_of_groups(
    rows_ND: NDArray[Any], side: int, choices: int
) -> tuple[NDArray[np.int32], Indices]:
    """Return the rows of each group, ascending: those of group g in starts[g]:starts[g + 1]."""
    axes = directions(side, rows_ND.shape[1])
    number = np.empty((len(rows_ND), choices), np.uint16)
    for start in range(0, len(rows_ND), _BLOCK):
        block = slice(start, start + _BLOCK)
        number[block] = nearest_groups(rows_ND[block], axes, choices)
    starts = np.concatenate([[0], np.cumsum(np.bincount(number.ravel(), minlength=side**2))])
    members = np.argsort(number, axis=None, kind="stable")
    members //= choices
    return members.astype(np.int32), starts


def enough_choices(
    side: int, dimensions: int, threshold: float, missed: float = MISSED
) -> int | None:
    """Return how many groups two rows at the threshold must join to share one, nearly always."""
    drawn = simulated_pairs(np.array([threshold]), dimensions)
    axes = directions(side, dimensions)
    for choices in CHOICES:
        if 1 - share_a_group(*drawn, axes, choices).mean() <= missed:
            return choices
    return None


def simulated_pairs(cosines: NDArray[Any], dimensions: int) -> tuple[Floats, Floats]:
    """Draw pairs of random rows that have evenly many of some cosines, (4000, dimensions) each.

    The same in every run. Whether they share a group tells of all pairs with such cosines.
    """
    generator = np.random.default_rng(_SEED)
    one, noise = (generator.standard_normal((_SIMULATED, dimensions), np.float32) for _ in "ab")
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    noise -= np.einsum("nd,nd->n", noise, one)[:, None] * one
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    places = np.linspace(0, len(cosines) - 1, _SIMULATED).round().astype(np.int64)
    cosine: Floats = np.sort(cosines).astype(np.float32)[places, None]
    sine: Floats = np.sqrt(np.float32(1) - cosine**2)
    return one, cosine * one + sine * noise


def share_a_group(
    one_PD: NDArray[Any], other_PD: NDArray[Any], axes: Floats, choices: int
) -> NDArray[np.bool_]:
    """Return of P pairs of rows which have a group in common, bool (P,)."""
    joined = [np.sort(nearest_groups(rows, axes, choices)) for rows in (one_PD, other_PD)]
    # one array of all numbers, made different from pair to pair
    keys = [groups + np.arange(len(groups))[:, None] * (1 << 16) for groups in joined]
    shared = np.isin(keys[0].ravel(), keys[1].ravel(), assume_unique=True)
    share = np.zeros(len(one_PD), np.bool_)
    share[np.flatnonzero(shared) // choices] = True
    return share


def directions(side: int, dimensions: int) -> Floats:
    """Return two sets of random directions, float32 (dimensions, 2 side), the same in every run.

    Orthogonal as far as the dimensions suffice, which spreads them evenly.
    """
    rounds = -(-2 * side // dimensions)
    gaussian = np.random.default_rng(_SEED).standard_normal((rounds, dimensions, dimensions))
    turns = np.concatenate(np.linalg.qr(gaussian).Q, axis=1)
    return np.ascontiguousarray(turns[:, : 2 * side], np.float32)


def nearest_groups(rows_ND: NDArray[Any], axes: Floats, choices: int) -> NDArray[np.uint16]:
    """Return the numbers of the groups that each row joins, uint16 (N, choices)."""
    side = axes.shape[1] // 2
    few = int(1.3 * choices**0.5) + 4  # of each set: the nearest sums are among theirs
    scores = rows_ND.astype(np.float32) @ axes
    one, one_score = _largest(scores[:, :side], few)
    other, other_score = _largest(scores[:, side:], few)
    sums = (one_score[:, :, None] + other_score[:, None, :]).reshape(len(one), few * few)
    chosen, _ = _largest(sums, choices)
    number = np.take_along_axis(one, chosen // few, axis=1) * side
    number += np.take_along_axis(other, chosen % few, axis=1)
    joined: NDArray[np.uint16] = number.astype(np.uint16)
    return joined


def _largest(scores_NC: Floats, count: int) -> tuple[Indices, Floats]:
    """Return the places of the `count` largest of each row, in any order, and the values."""
    places = np.argpartition(scores_NC, -count, axis=1)[:, -count:]
    return places, np.take_along_axis(scores_NC, places, axis=1)
