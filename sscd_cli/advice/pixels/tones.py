"""One picture given the tones and the sharpness of another one of the same view."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from sscd_cli.advice.pixels.alignment import Floats

Pixels = NDArray[np.uint8]

_EVERY = 13  # one pixel of so many tells how to mix
_BLURS = (0.8, 2.0, 4.0)  # pixels
_UNCHANGED = 0.01  # from one: what nobody mixed
_BETTER, _MUCH_BETTER = 0.97, 0.8  # of what is left, to choose what is less simple


def toned(given: Pixels, wanted: Pixels, coded: Callable[[Pixels], Pixels]) -> Pixels:
    """Change a picture until it is most like another one once both are coded.

    Each colour gets a curve, by itself or of a mixture of colours, is blurred or sharpened,
    or its light falls off across the picture, whichever does best. What few pixels say, as of
    something laid over, does not count.
    Args: given, wanted: (h, w, 3). coded: how the wanted one is coded.
    """
    y = wanted.reshape(-1, 3).astype(np.float32)
    made = np.empty_like(y)
    levels: list[NDArray[np.intp] | None] = []
    flat = given.reshape(-1, 3).astype(np.float32)
    soft = [_blurred(given, blur) for blur in _BLURS]
    light = _places(given.shape[:2])
    for channel in range(3):
        made[:, channel], level = _best(flat, soft, light, y[:, channel], channel)
        levels.append(level)

    def pixels() -> Pixels:
        return made.round().clip(0, 255).astype(np.uint8).reshape(given.shape)

    again = coded(pixels()).reshape(-1, 3)
    for channel, level in enumerate(levels):
        if level is not None:
            made[:, channel] += _curve(level, y[:, channel] - again[:, channel])[level]
    return pixels()


def _best(
    x: Floats, soft: list[Floats], light: Floats, y: Floats, channel: int
) -> tuple[Floats, NDArray[np.intp] | None]:
    """Return the best that can be made of y, and the grey level of each pixel before its curve.

    None for the levels of what has no curve.
    """
    own = x[:, channel]
    mix = _mixed(own[:, None], y)
    if abs(mix[0] - 1) < _UNCHANGED and abs(mix[1]) < 3 and _left(own, y) < 12:
        best, levels = own, None
    else:
        best, levels = _with_curve(own, own * mix[0] + mix[1], y)
    mixed = _applied(x, y)
    made, level = _with_curve(mixed, mixed, y)
    if _left(made, y) < _BETTER * _left(best, y):
        best, levels = made, level
    for columns in (
        np.stack([own, *(blur[:, channel] for blur in soft)], axis=1),
        own[:, None] * light,
    ):
        made = _applied(columns, y)
        if _left(made, y) < _MUCH_BETTER * _left(best, y):
            best, levels = made, None
    return best, levels


def _places(shape: tuple[int, ...]) -> Floats:
    """Return what light that falls off across a picture is made of, float32 (h × w, 6)."""
    down, across = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j].astype(np.float32)
    terms = (np.ones_like(down), down, across, down * across, down**2, across**2)
    return np.stack([term.ravel() for term in terms], axis=1)


def _left(made: Floats, y: Floats) -> float:
    return float(np.median(np.abs(made[::_EVERY] - y[::_EVERY]))) + 0.02


def _applied(x: Floats, y: Floats) -> Floats:
    mix = _mixed(x, y)
    made: Floats = (x @ mix[:-1] + mix[-1]).clip(0, 255)
    return made


def _with_curve(given: Floats, start: Floats, y: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Return what curves make of a start, each for a level of what was given."""
    level = given.round().clip(0, 255).astype(np.intp)
    made = start.clip(0, 255)
    for _ in range(2):
        made = made + _curve(level, y - made)[level]
    return made, level


def _mixed(x: Floats, y: Floats) -> Floats:
    """Return by what to multiply each column, and what to add, to get most of the values."""
    y = y[::_EVERY]
    columns = np.full((x.shape[1] + 1, len(y)), 255, np.float64)
    columns[:-1] = x[::_EVERY].T
    inner = (y > 3) & (y < 252)
    use = inner
    mix: NDArray[np.float64] = np.zeros(len(columns))
    for _ in range(3):
        if use.sum() < 64:
            break
        chosen = columns * use
        squares = chosen @ columns.T + 10 * np.eye(len(mix))
        mix = np.asarray(np.linalg.solve(squares, chosen @ y), np.float64)
        off = np.abs(mix @ columns - y)
        use = inner & (off < max(3.0, 3 * float(np.median(off[use]))))
    mix[-1] *= 255
    return mix.astype(np.float32)


def _curve(level_N: NDArray[np.intp], off_N: Floats) -> Floats:
    """Return by how much most of the pixels of each grey level are off, float32 (256,)."""
    near = np.abs(off_N) < max(4.0, 4 * float(np.median(np.abs(off_N[::_EVERY]))))
    count = np.bincount(level_N[near], minlength=256)
    total = np.bincount(level_N[near], off_N[near], minlength=256)
    return np.where(count > 30, total / np.maximum(count, 1), 0).astype(np.float32)


def _blurred(pixels: Pixels, deviation: float) -> Floats:
    return cv2.GaussianBlur(pixels, (0, 0), deviation).astype(np.float32).reshape(-1, 3)
