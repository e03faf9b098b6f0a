"""Traces of JPEG's grid in pixels that some other file holds.

JPEG makes most of the finest waves of its blocks of 8 × 8 pixels nearly nothing. Later changes of
tones and codings without that grid leave more of them so in those blocks than in any others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sscd_cli.advice.pixels.alignment import Floats
from sscd_cli.advice.pixels.filters import grey_of

_SIDE = 8  # pixels of a block
_OTHERS = ((4, 0), (0, 4), (4, 4))  # blocks of WebP begin there, too, but none of JPEG
_NOTHING = 0.5  # grey levels
_FINE = np.add.outer(np.arange(_SIDE), np.arange(_SIDE)) >= 3
_RICH = 4.0  # grey levels of a wave in a block that is no flat place
_FEWEST = 64  # such blocks
_MORE = 1.08  # times as many waves that are nothing: without any grid, at most 1.05


def holds_grid(pixels: NDArray[np.uint8]) -> bool:
    """Say whether a JPEG file with its grid at the first pixel was on the way to these.

    Args: pixels: (h, w, 3) uint8.
    """
    grey = grey_of(pixels)
    if min(grey.shape) < 2 * _SIDE:
        return False
    own = _nothing(grey)
    others = [_nothing(grey[down:, across:]) for down, across in _OTHERS]
    return own is not None and all(other is not None and own > _MORE * other for other in others)


def _nothing(grey: Floats) -> float | None:
    """Return the share of fine waves that are nearly nothing; None where too little is seen."""
    rows, columns = (side // _SIDE for side in grey.shape)
    blocks = grey[: rows * _SIDE, : columns * _SIDE].reshape(rows, _SIDE, columns, _SIDE)
    waves = np.abs(_COSINES @ blocks.swapaxes(1, 2) @ _COSINES.T)
    rich = waves[..., 1:, 1:].max(axis=(2, 3)) > _RICH
    return float((waves[rich][:, _FINE] < _NOTHING).mean()) if rich.sum() >= _FEWEST else None


def _cosines() -> Floats:
    """Return the waves of a block, one a row."""
    at = np.arange(_SIDE)
    waves = np.sqrt(2 / _SIDE) * np.cos((2 * at + 1) * at[:, None] * np.pi / (2 * _SIDE))
    waves[0] /= np.sqrt(2)
    return np.asarray(waves, np.float32)


_COSINES = _cosines()
