"""Blurs and local statistics of grey pictures, float32 (h, w)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sscd_cli.advice.pixels.alignment import Floats


def blurred(picture: Floats, deviation: float) -> Floats:
    """Blur by a Gaussian of a deviation in pixels; the picture goes on mirrored."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), deviation), np.float32)


def between(picture: Floats, band: tuple[float, float]) -> Floats:
    """Return what a blur by the first deviation leaves and one by the second takes."""
    finest, coarsest = band
    return blurred(picture, finest) - blurred(picture, coarsest)


def frequencies(shape: tuple[int, ...]) -> Floats:
    """Return the squared frequency, in cycles a pixel, of each term of `rfft2`."""
    down, across = np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1])
    squares: Floats = (down[:, None] ** 2 + across**2).astype(np.float32)
    return squares


def gaussian(square: Floats, deviation: float) -> Floats:
    """Return what a blur leaves of each frequency."""
    left: Floats = np.exp(np.float32(-2 * np.pi**2 * deviation**2) * square)
    return left


def mean_around(values: Floats, radius: int) -> Floats:
    """Return the mean of a square around each pixel."""
    margin = (radius + 1, radius)
    return _window_means(np.pad(values, (margin, margin), mode="edge"), 2 * radius + 1)[1:, 1:]


def deviations(picture: Floats, side: int) -> Floats:
    """Return the deviation in each square of a side that lies within, by its first corner."""
    means, squares = _window_means(picture, side), _window_means(picture**2, side)
    spread: Floats = np.sqrt(np.maximum(squares - means**2, 0))
    return spread


def ends_around(values: Floats) -> tuple[Floats, Floats]:
    """Return the least and the greatest of each pixel and its eight neighbours."""
    square = np.ones((3, 3), np.uint8)
    low, high = (
        np.asarray(end(values, square, borderType=cv2.BORDER_REPLICATE), np.float32)
        for end in (cv2.erode, cv2.dilate)
    )
    return low, high


def grey_of(rgb: NDArray[Any]) -> Floats:
    """Return the mean of the colours of a picture (h, w, 3)."""
    grey: Floats = rgb.astype(np.float32, copy=False) @ np.full(3, 1 / 3, np.float32)
    return grey


def block_means(values: NDArray[Any], side: int) -> NDArray[Any]:
    """Return the mean of each whole block of a side, (h / side, w / side), or of each colour."""
    rows, columns = (long // side for long in values.shape[:2])
    whole = values[: rows * side, : columns * side].astype(np.float32, copy=False)
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA))


def _window_means(values: Floats, side: int) -> Floats:
    """Return the mean of each square of a side that lies within, by its first corner."""
    means = cv2.blur(values, (side, side), anchor=(0, 0))
    return np.asarray(means[: 1 - side or None, : 1 - side or None], np.float32)
