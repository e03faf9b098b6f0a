"""How the power of a picture is spread over its frequencies; which of two sizes was enlarged."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from sscd_cli.advice.pixels.alignment import Floats
from sscd_cli.advice.pixels.filters import grey_of
from sscd_cli.advice.pixels.recoding import CodedPart
from sscd_cli.advice.pixels.tones import Pixels

BANDS = 40  # of frequencies
_LEAST = 2 * BANDS  # pixels a side
_MIDDLE, _FINE = slice(14, 22), slice(26, 34)  # bands
# of the fine bands against those in the middle: what an enlarged picture has at the size of its
# source (0.58 to 0.82), and one that was made smaller at the other's (0.79 to 1.3)
_KEPT = 0.785


def power_of(patch: Floats) -> Floats:
    """Return the power of each band of frequencies along rows."""
    rows = patch[:: max(1, len(patch) // 128)]
    rows = (rows - rows.mean(axis=1, keepdims=True)) * np.hanning(rows.shape[1])
    power = (np.abs(np.fft.rfft(rows, axis=1)) ** 2).mean(axis=0)
    bands = np.array_split(np.resize(power, max(len(power), BANDS)), BANDS)
    return np.array([band.mean() for band in bands], np.float32) + np.float32(1e-3)


def is_enlarged(large: CodedPart, small: CodedPart) -> bool:
    """Say whether the larger of two pictures was made from the smaller one.

    Whatever interpolates loses some of the finest waves of its source, and they do not come back as
    it is made smaller again; of a larger original the smaller copy has no more than it has.
    """
    pair = _at_one_size(large, small)
    if pair is None:
        return False
    made, seen = (power_of(grey) + power_of(grey.T) for grey in map(grey_of, pair))
    kept = np.sqrt(made / seen)
    return bool(kept[_FINE].mean() < _KEPT * kept[_MIDDLE].mean())


def _at_one_size(large: CodedPart, small: CodedPart) -> tuple[Pixels, Pixels] | None:
    """Return what both show at the size of the smaller one; None where it is too little."""
    spans = []
    for axis in (0, 1):
        scale = small.size[axis] / large.size[axis]
        origin, long = (large.left, large.top)[axis], (large.width, large.height)[axis]
        first, most = (small.left, small.top)[axis], (small.width, small.height)[axis]
        begin = max(math.ceil(origin * scale), first)
        end = min(math.floor((origin + long) * scale), first + most)
        if end - begin < _LEAST:
            return None
        spans.append((begin - first, end - first, begin / scale - origin, end / scale - origin))
    (left, right, *across), (top, bottom, *down) = spans
    made = Image.fromarray(np.ascontiguousarray(large.pixels)).resize(
        (right - left, bottom - top),
        Image.Resampling.LANCZOS,
        box=(across[0], down[0], across[1], down[1]),
    )
    return np.asarray(made), small.pixels[top:bottom, left:right]
