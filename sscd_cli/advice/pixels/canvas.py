"""How much of a picture is a flat border, or flat corners as of a turned canvas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_OFF = 3  # pixels
_UNEVEN = 0.15  # of the rows of a corner: coding leaves waves beside what is dark
_BLUNT = 4  # rows of which the last has something in it, unless there is a border


def canvas_of(pixels: NDArray[np.uint8]) -> tuple[float, int]:
    """Return the share of a border of one colour, or of flat corners, and how many of these."""
    values = pixels.astype(np.int16)
    height, width = values.shape[:2]
    flat, corners = np.zeros((height, width), np.bool_), 0
    for lines, marks in (
        (values, flat),
        (values[::-1], flat[::-1]),
        (values.swapaxes(0, 1), flat.T),
        (values.swapaxes(0, 1)[::-1], flat.T[::-1]),
    ):
        marks[: _band(lines)] = True
    for down in (slice(None), slice(None, None, -1)):
        for across in (slice(None), slice(None, None, -1)):
            corner = _corner(values[down, across])
            flat[down, across] |= corner
            first = _edge(corner)
            corners += int(corner[first].sum() > 1.15 * corner[first + height // 4].sum())
    return float(flat.mean()), corners


def _band(lines: NDArray[np.int16]) -> int:
    """Return how many lines from the first on are all of one colour."""
    colour = np.median(lines[0], axis=0)
    plain = (np.abs(lines - colour).max(axis=2) < 10).mean(axis=1) > 0.97
    return 0 if plain.all() else int(plain.argmin())


def _corner(values: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Mark the triangle of black or white at the first corner, as of a turned canvas."""
    same = np.abs(values - values[0, 0]).max(axis=2) < 10
    extreme = values[0, 0].max() < 8 or values[0, 0].min() > 247
    first = _edge(same)
    run = same[first:].argmin(axis=1)[: len(same) // 4]  # flat pixels from the edge on, by row
    falls = extreme and not same.all() and run[0] > 2 and _is_straight(run)
    marks = np.zeros(same.shape, np.bool_)
    if falls:
        marks = np.logical_and.accumulate(np.logical_and.accumulate(same, axis=1), axis=0)
    return marks


def _is_straight(run: NDArray[np.intp]) -> bool:
    """Say whether flat pixels get fewer, or stay as many, by as much from row to row."""
    run = run[: int((run > 2).argmin()) or len(run)]
    line = np.linspace(run[0], run[-1], len(run))
    return bool(run[0] >= run[-1] and (np.abs(run - line) > _OFF).mean() < _UNEVEN)


def _edge(same: NDArray[np.bool_]) -> int:
    """Return the first row that is not all flat, of few: the corner of what was turned is blunt."""
    return int(same[:_BLUNT].all(axis=1).argmin())
