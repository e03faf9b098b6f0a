"""Candidate pairs from coarse groups: rows meet only where they lie in the same direction.

Two sets of `side` random directions span side² groups, (i, j) for the sum of direction i of the
one and j of the other. Each row joins the `choices` groups whose sums it is nearest to, and its
sketch is compared with those of the rows of these groups only. Whether two rows share a group
depends on their angle and on chance, not on the data: so `choices` follows from a simulation at
the threshold.

Groups that are too full for that (a placeholder, thousands of near-copies) are not searched one
by one: the sketches of their rows, taken together, are compared with each other.

Source: Becker, Ducas, Gama, Laarhoven, "New directions in nearest neighbor searching with
applications to lattice sieving", SODA 2016 (filters from product codes); the multi-index of Babenko
and Lempitsky, "The inverted multi-index", CVPR 2012, for directions instead of centroids.

Shape legend: N rows, D dimensions, C choices, G groups, n rows of a group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.machines.hardware import core_count
from sscd_cli.matching.cells import triangle
from sscd_cli.matching.products import (
    LOADING_TORCH,
    Comparison,
    Floats,
    Indices,
    PairSample,
    plan_sketches,
    unit,
)
from sscd_cli.matching.sketches import random_axes

if TYPE_CHECKING:
    from torch import Tensor

    from sscd_cli.matching.torch_products import TorchProduct

SIDES = (256, 512, 1024)
MOST_CHOICES = 192
MISSED = 0.001  # of the pairs right at the threshold; of more similar ones far fewer
_NEAREST = 22  # of each set: the nearest sums are among theirs
_SIMULATED = 10_000
_SAMPLE = 4096
_MEETINGS = 50_000
_SEED = 512
_BLOCK = 2048
_CELLS = 1 << 22  # of a batch of groups
_PAD = 16
_SHELF_BITS = 14  # 16,384 groups are looked up at a time
_FULL = 1 / 256  # of all rows: a group with more is too full
_A_CELL, _A_GROUP, _A_CHOICE, _A_DIRECTION = 2e-10, 5e-6, 1e-7, 2e-8  # core seconds, on Zen 4


@dataclass(frozen=True, slots=True)
class Grouping:
    """How rows are grouped and compared, and what the join will then cost."""

    side: int
    choices: int
    sketch: Comparison
    seconds: float

    @property
    def row_bytes(self) -> int:
        """Memory a row: its sketch and the numbers of its groups."""
        return self.sketch.row_bytes + self.choices * 3


def plan_groups(
    rows_ND: NDArray[Any], threshold: float, cut: float, missed: float = MISSED
) -> Grouping | None:
    """Choose the cheapest grouping that misses so few of the pairs right at the threshold.

    Args: cut: what candidates are to reach, a little below the threshold. missed: a share.
    Returns: None where there is none: at a low threshold rows must join too many groups.
    """
    plans = []
    for side in SIDES:
        choices = side**2 <= len(rows_ND) and enough_choices(
            side, rows_ND.shape[1], threshold, missed
        )
        if choices:
            plans.append(_grouping(rows_ND, cut, side, choices))
    return min(filter(None, plans), key=lambda plan: plan.seconds, default=None)


def _grouping(rows_ND: NDArray[Any], cut: float, side: int, choices: int) -> Grouping | None:
    """Return how rows in such groups are compared, and what that costs."""
    count = len(rows_ND)
    rows = rows_ND[:: max(1, count // _SAMPLE)].astype(np.float32)
    share, sample = _meetings(rows, *members_of_groups(rows, side, choices))
    cells = count**2 * share
    sketch = plan_sketches(rows_ND, cut, cells, sample)
    if sketch is None:
        return None
    seconds = cells * _A_CELL + side**2 * _A_GROUP
    seconds += count * (_A_CHOICE * choices + _A_DIRECTION * side)
    return Grouping(side, choices, sketch, LOADING_TORCH + sketch.seconds + seconds / core_count())


def cells_of_groups(
    rows_ND: NDArray[Any], cut: float, how: Grouping
) -> Iterator[tuple[Indices, Indices]]:
    """Yield (left, right) with left < right: nearly every pair at or above `cut`, many repeated.

    Memory: 3 bytes a choice of each row, the sketches, and 24 bytes for each time that a row
    joins one of some 16,384 groups.
    """
    from sscd_cli.matching.torch_products import TorchProduct

    product = TorchProduct(rows_ND, rows_ND, how.sketch.product_cut(cut), how.sketch)
    most = max(_FULL * len(rows_ND), 4 * len(rows_ND) * how.choices / how.side**2)
    crowd = np.zeros(len(rows_ND), np.bool_)
    for members, sizes in _shelves(rows_ND, how.side, how.choices):
        groups = np.split(members, np.cumsum(sizes)[:-1])
        for group in np.flatnonzero(sizes > most):
            crowd[groups[group]] = True
        # the rows near one direction of the first set are few enough to stay in the cache
        for first in range(0, len(groups), how.side):
            searched = [rows for rows in groups[first : first + how.side] if 1 < len(rows) <= most]
            for batch in _batches(searched, len(rows_ND)):
                yield _within(product, batch)
    for block in triangle(product, np.flatnonzero(crowd)):
        yield block.marked()


def members_of_groups(
    rows_ND: NDArray[Any], side: int, choices: int
) -> tuple[NDArray[np.int32], Indices]:
    """Return the rows of each group, ascending: those of group g in starts[g]:starts[g + 1]."""
    members, sizes = zip(*_shelves(rows_ND, side, choices), strict=True)
    return np.concatenate(members), np.concatenate([[0], np.cumsum(np.concatenate(sizes))])


def _shelves(
    rows_ND: NDArray[Any], side: int, choices: int
) -> Iterator[tuple[NDArray[np.int32], Indices]]:
    """Yield the rows of some groups after the other, ascending in each, and the groups' sizes."""
    axes = directions(side, rows_ND.shape[1])
    shape = (len(rows_ND), choices)
    shelf, place = np.empty(shape, np.uint8), np.empty(shape, np.uint16)
    for start in range(0, len(rows_ND), _BLOCK):
        block = slice(start, start + _BLOCK)
        number = nearest_groups(rows_ND[block], axes, choices)
        shelf[block], place[block] = number >> _SHELF_BITS, number & (1 << _SHELF_BITS) - 1
    for first in range(0, side**2, 1 << _SHELF_BITS):
        joined = np.flatnonzero(shelf == first >> _SHELF_BITS)
        group = place.ravel()[joined]
        sizes = np.bincount(group, minlength=min(1 << _SHELF_BITS, side**2 - first))
        yield (joined // choices).astype(np.int32)[np.argsort(group, kind="stable")], sizes


def _batches(groups: list[NDArray[np.int32]], nobody: int) -> Iterator[NDArray[np.int32]]:
    """Yield groups of about one size together, int32 (G, n), filled up with the row `nobody`."""
    largest_first = iter(sorted(groups, key=len, reverse=True))
    for largest in largest_first:
        size = -(-len(largest) // _PAD) * _PAD
        alike = [largest, *islice(largest_first, max(1, _CELLS // size**2) - 1)]
        batch = np.full((len(alike), size), nobody, np.int32)
        for row, group in zip(batch, alike, strict=True):
            row[: len(group)] = group
        yield batch


def _within(product: TorchProduct, batch_Gn: NDArray[np.int32]) -> tuple[Indices, Indices]:
    """Return the cells at or above the cut, of each group with itself."""
    size = batch_Gn.shape[1]
    place, column = np.divmod(np.flatnonzero(product.above_within(batch_Gn)), size)
    left, right = batch_Gn.ravel()[place], batch_Gn[place // size, column]
    return left.astype(np.int64), right.astype(np.int64)


def _meetings(
    rows_SD: Floats, members: NDArray[np.int32], starts: Indices
) -> tuple[float, PairSample | None]:
    """Return how often two rows meet in a group, on average, and some that do, if any."""
    sizes = np.diff(starts)
    meetings = sizes * (sizes - 1.0)
    total = meetings.sum()
    if not total:
        return 0.0, None
    generator = np.random.default_rng(_SEED)
    group = generator.choice(len(sizes), _MEETINGS, p=meetings / total)
    one = generator.integers(sizes[group])
    other = (one + 1 + generator.integers(sizes[group] - 1)) % sizes[group]
    left, right = (members[starts[group] + place].astype(np.int64) for place in (one, other))
    return total / (len(rows_SD) * (len(rows_SD) - 1)), PairSample(rows_SD, left, right)


def enough_choices(
    side: int, dimensions: int, threshold: float, missed: float = MISSED
) -> int | None:
    """Return how many groups two rows at the threshold must join to share one, nearly always."""
    drawn = simulated_pairs(np.array([threshold]), dimensions)
    needed = needed_choices(*drawn, directions(side, dimensions))
    enough = int(np.quantile(needed, 1 - missed, method="higher"))
    return enough if enough <= MOST_CHOICES else None


def simulated_pairs(cosines: NDArray[Any], dimensions: int) -> tuple[Floats, Floats]:
    """Draw pairs of random rows that have evenly many of some cosines, (10000, dimensions) each.

    The same in every run. Whether they share a group tells of all pairs with such cosines.
    """
    generator = np.random.default_rng(_SEED)
    one, noise = (generator.standard_normal((_SIMULATED, dimensions), np.float32) for _ in "ab")
    one = unit(one)
    noise = unit(noise - np.einsum("nd,nd->n", noise, one)[:, None] * one)
    places = np.linspace(0, len(cosines) - 1, _SIMULATED).round().astype(np.int64)
    cosine: Floats = np.sort(cosines).astype(np.float32)[places, None]
    sine: Floats = np.sqrt(np.float32(1) - cosine**2)
    return one, cosine * one + sine * noise


def needed_choices(one_PD: NDArray[Any], other_PD: NDArray[Any], axes: Floats) -> Indices:
    """Return how many groups both rows of P pairs must join to share one, int64 (P,).

    More than MOST_CHOICES: they share none of so many.
    """
    # the numbers of each pair's groups, made different from those of other pairs
    offset = np.arange(len(one_PD))[:, None] * axes.shape[1] ** 2
    first, second = (
        (nearest_groups(rows, axes, MOST_CHOICES) + offset).ravel() for rows in (one_PD, other_PD)
    )
    _, *places = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    pair, rank = np.divmod(places, MOST_CHOICES)
    needed = np.full(len(one_PD), MOST_CHOICES + 1)
    np.minimum.at(needed, pair[0], rank.max(axis=0) + 1)
    return needed


def directions(side: int, dimensions: int) -> Floats:
    """Return the directions of both sets up to their sign, float32 (dimensions, side)."""
    return random_axes(dimensions, side, _SEED)


def nearest_groups(rows_ND: NDArray[Any], axes: Floats, choices: int) -> NDArray[np.int64]:
    """Return the numbers of the groups that each row joins, int64 (N, choices), nearest first.

    choices: at most the square of how many directions are in a set, or of 22.
    """
    import torch

    side = axes.shape[1]
    found = []
    for start in range(0, max(1, len(rows_ND)), _BLOCK):
        rows = torch.from_numpy(rows_ND[start : start + _BLOCK].astype(np.float32))
        scores = rows @ torch.from_numpy(axes)
        one, one_score = _largest(scores[:, : side // 2])
        other, other_score = _largest(scores[:, side // 2 :])
        sums = (one_score[:, :, None] + other_score[:, None, :]).flatten(1)
        chosen = sums.topk(choices, dim=1).indices
        number = one.gather(1, chosen // other.shape[1]) * side
        found.append(number + other.gather(1, chosen % other.shape[1]))
    joined: NDArray[np.int64] = torch.cat(found).numpy()
    return joined


def _largest(scores_NC: Tensor) -> tuple[Tensor, Tensor]:
    """Return the nearest of the directions and their opposites, in any order, and how near."""
    count = scores_NC.shape[1]
    nearest = scores_NC.abs().topk(min(_NEAREST, count), dim=1, sorted=False)
    opposite = scores_NC.gather(1, nearest.indices) < 0
    return nearest.indices + count * opposite, nearest.values
