"""Blurs and local statistics of grey pictures, float32 (h, w)."""

from __future__ import annotations

import cv2
import numpy as np

from sscd_cli.advice.pixels.alignment import Floats

_MARGIN = 16  # pixels, at the least, by which a picture goes on mirrored


def blurred(picture: Floats, deviation: float) -> Floats:
    """Blur by a Gaussian of a deviation in pixels."""
    return between(picture, (deviation, None))


def between(picture: Floats, band: tuple[float, float | None]) -> Floats:
    """Return what a blur by the first deviation leaves and one by the second takes."""
    height, width = picture.shape
    more = [_fast(side + 2 * _MARGIN) - side - _MARGIN for side in picture.shape]
    padded = np.pad(picture, [(_MARGIN, extra) for extra in more], mode="reflect")
    finest, coarsest = band
    square = frequencies(padded.shape)
    response = gaussian(square, finest)
    if coarsest is not None:
        response = response - gaussian(square, coarsest)
    made = np.fft.irfft2(np.fft.rfft2(padded) * response, padded.shape)
    cut = slice(_MARGIN, _MARGIN + height), slice(_MARGIN, _MARGIN + width)
    return np.ascontiguousarray(made[cut], np.float32)


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
    low = high = np.pad(values, 1, mode="edge")
    for _ in range(2):
        low = np.minimum(np.minimum(low[:-2], low[1:-1]), low[2:]).T
        high = np.maximum(np.maximum(high[:-2], high[1:-1]), high[2:]).T
    return low, high


def _window_means(values: Floats, side: int) -> Floats:
    """Return the mean of each square of a side that lies within, by its first corner."""
    means = cv2.blur(values, (side, side), anchor=(0, 0))
    return np.asarray(means[: 1 - side or None, : 1 - side or None], np.float32)


def _fast(size: int) -> int:
    """Return the next size that has no prime factor above 5."""
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 1
