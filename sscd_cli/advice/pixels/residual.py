"""What is left once one picture lies over another: tiles that moved, things only one of them has.

Pictures are grey, float32 (h, w), here.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sscd_cli.advice.pixels.alignment import (
    Floats,
    Map,
    inverse,
    laid_over,
    scale_of,
    square,
    turn_of,
)
from sscd_cli.advice.pixels.filters import (
    between,
    blurred,
    ends_around,
    frequencies,
    gaussian,
    mean_around,
)
from sscd_cli.advice.pixels.tiles import COARSE, FINE, MIDDLE, SAME, Tiles, corners_within

AGREE = 0.9  # share of the tiles of a copy that are the same
_RICHEST, _ENOUGH = 64, 20  # tiles that move a map; that a map needs to count in full
_BLURS = (1.0, 1.6, 2.5, 4.0, 6.0)  # pixels
_EXPLAINS = 0.35  # of the difference that a blur must at most leave to account for it
_LEAST, _NOISES = 20.0, 5.0  # grey levels that differ; the same in medians of the difference
_TURNED = 2.5  # degrees that are no noise of a map
_STEP, _LEVELS, _LIGHT = 8, 32, 20  # grey levels of a tone; how many; pixels that tell the light
_CELL, _OWN = 5, 6  # pixels: a side of what is one place; that a picture has of its own in it
_CLEARLY, _NEXT_TO_NONE = 10, 0.25  # pixels; of them, what the other one may have there, too

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Residual:
    """What two pictures have in common, and what not.

    tiles: how many hold something to compare. same: share of them that agree. moved: share that
    is found elsewhere. own: shares of the area in which only the one, and only the other, has a
    thing before a ground that both share. places: separate ones in which either has such a thing.
    apart: of them, those in which the other one has next to none.
    alone: tiles that hold something in the one, and only in the other, and there an even ground.
    relit: grey levels by which the light differs, of a picture that lies over the other turned:
    edits turn the light, too, and a thing that was turned is lit anew. covered: of either picture
    the share that the other one covers, the less of the two.
    """

    tiles: int
    same: float
    moved: float
    own: tuple[float, float]
    places: tuple[int, int]
    apart: tuple[int, int]
    alone: tuple[int, int]
    relit: float = 0.0
    covered: float = 0.0


@dataclass(frozen=True, eq=False)
class Overlay:
    """A picture and a finer one that lies over it; to: from the first to the second.

    score: share of the richest tiles that are found, less where they are few.
    """

    base: Floats
    top: Floats
    to: Map
    score: float = 0.0

    @classmethod
    def of(cls, one: Floats, other: Floats, to: Map) -> Overlay:
        """Lay the finer picture over the other one, moved to where most tiles are found."""
        if scale_of(to) < 1:
            one, other, to = other, one, inverse(to)
        return cls(one, other, to).refined(MIDDLE)

    def refined(self, band: tuple[float, float]) -> Overlay:
        """Move the map to where most tiles are found in a band."""
        base, seen = between(self.base, band), between(self._seen(), band)
        tiles = Tiles.compare(base, seen, self._corners(), _RICHEST)
        if not len(tiles):
            return self
        score = float((tiles.best > SAME).mean()) * min(1.0, len(tiles) / _ENOUGH)
        moved = tiles.agreed()
        to = self.to if moved is None else self.to @ square(moved)
        return Overlay(self.base, self.top, to, score)

    def residual(self) -> Residual:
        """Compare the two where they cover one another, once they are equally sharp and light."""
        seen, inside = self._seen(), self._inside()
        if inside.mean() < 0.01:
            return Residual(0, 0.0, 0.0, (0.0, 0.0), (0, 0), (0, 0), (0, 0))
        base, seen = _levelled(self.base, seen, inside)
        corners = self._corners()
        tiles = Tiles.compare(between(base, FINE), between(seen, FINE), corners)
        same, moved = tiles.same, tiles.moved
        if same < AGREE:  # noise and compression spare what is coarse
            coarse = Tiles.compare(between(base, COARSE), between(seen, COARSE), corners)
            same, moved = max(same, coarse.same), min(moved, coarse.moved)
        own = _own_things(base, seen, inside)
        area, (places, apart) = float(inside.sum()), _places(own[2], own[:2])
        return Residual(
            tiles=tiles.count,
            same=same,
            moved=moved,
            own=(float(own[0].sum()) / area, float(own[1].sum()) / area),
            places=places,
            apart=apart,
            alone=tiles.alone,
            relit=_unlike_light(base, seen, inside) if turn_of(self.to) > _TURNED else 0.0,
            covered=min(area / inside.size, area * scale_of(self.to) ** 2 / self.top.size),
        )

    def _seen(self) -> Floats:
        return laid_over(self.top, self.to, self.base.shape)

    def _corners(self) -> NDArray[np.int64]:
        return corners_within(self.base.shape, self.to, self.top.shape)

    def _inside(self) -> Mask:
        """Return which pixels of the first picture the other one covers."""
        y, x = np.ogrid[: self.base.shape[0], : self.base.shape[1]]
        inside = np.ones(self.base.shape, np.bool_)
        for (across, down, add), side in zip(self.to, self.top.shape[::-1], strict=True):
            at = across * (x + 0.5) + down * (y + 0.5) + add
            inside &= (at > 1) & (at < side - 1)
        return inside


def _levelled(one: Floats, other: Floats, inside: Mask) -> tuple[Floats, Floats]:
    """Give the second picture the tones of the first, and the sharper one the other's blur."""
    slope, add = _tones(other[inside], one[inside])
    other = other * np.float32(slope) + np.float32(add)
    spectra = [np.fft.rfft2(np.where(inside, p - p[inside].mean(), 0)) for p in (one, other)]
    squares = frequencies(one.shape)
    best, blurs = _EXPLAINS * _power(spectra[0] - spectra[1]), (0.0, 0.0)
    for blur in _BLURS:
        response = gaussian(squares, blur)
        for left, choice in (
            (_power(response * spectra[0] - spectra[1]), (blur, 0.0)),
            (_power(spectra[0] - response * spectra[1]), (0.0, blur)),
        ):
            if left < best:
                best, blurs = left, choice
    pair = zip((one, other), blurs, strict=True)
    one, other = (blurred(picture, blur) if blur else picture for picture, blur in pair)
    return one, other


def _power(spectrum: NDArray[np.complexfloating]) -> float:
    return float((spectrum.real**2 + spectrum.imag**2).sum())


def _tones(values: Floats, wanted: Floats) -> tuple[float, float]:
    """Return by what to multiply, and what to add, to get what is wanted for most of the values."""
    x, y = values[::7], wanted[::7]
    slope, add = 1.0, 0.0
    use = np.ones(len(x), np.bool_)
    for _ in range(4):
        spread = float(x[use].var())
        if spread < 1:
            break
        slope = float(np.mean((x[use] - x[use].mean()) * (y[use] - y[use].mean()))) / spread
        add = float(y[use].mean() - slope * x[use].mean())
        off = np.abs(y - slope * x - add)
        use = off <= max(2.0, 2 * float(np.median(off)))
    return (slope, add) if slope > 0.2 else (1.0, 0.0)


def _unlike_light(one: Floats, other: Floats, inside: Mask) -> float:
    """Return the deviation, in grey levels, of what a strong blur leaves of their difference.

    The second picture is given the tones of the first by any curve.
    """
    level = np.clip(other, 0, 255).astype(np.uint8) // _STEP
    count = np.maximum(np.bincount(level[inside], minlength=_LEVELS), 1)
    mean = np.bincount(level[inside], one[inside], _LEVELS) / count
    weight = inside.astype(np.float32)
    apart = (mean[level] - one).astype(np.float32) * weight
    apart = mean_around(apart, _LIGHT) / np.maximum(mean_around(weight, _LIGHT), 1e-3)
    return float(apart[inside].std())


def _own_things(one: Floats, other: Floats, inside: Mask) -> tuple[Mask, Mask, Mask]:
    """Return where only the one, and only the other, has a thing before an even common ground.

    The third mask is where they differ at all. A pixel that a neighbour in the other picture
    equals does not differ: no map is exact.
    """
    apart = np.abs(one - other)
    noise = float(np.median(apart[inside]))
    least = max(_LEAST, _NOISES * noise)
    (low, high), (lowest, highest) = ends_around(one), ends_around(other)
    beyond = [one - highest, lowest - one, other - high, low - other]
    differs = inside & (np.maximum.reduce(beyond) > least)
    agrees = (inside & (apart < max(6.0, 2.5 * noise))).astype(np.float32)
    share = mean_around(agrees, 5)
    weight = np.maximum(share, 1e-3)
    ground = mean_around(agrees * one, 5) / weight
    spread = np.sqrt(np.maximum(mean_around(agrees * one**2, 5) / weight - ground**2, 0))
    even = differs & (share > 0.25) & (spread < max(6.0, 2 * noise))
    here, there, near = np.abs(one - ground), np.abs(other - ground), max(8.0, 3 * noise)
    ours = even & (here > least) & (there < near)
    theirs = even & (there > least) & (here < near)
    return ours, theirs, differs


def _places(differs: Mask, own: tuple[Mask, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Count the separate places that differ in which each picture has something of its own.

    Returns: all of them, and those in which the other one has next to nothing of its own.
    """
    count, label = cv2.connectedComponents((_counted(differs) > 1).astype(np.uint8))
    ours, theirs = (np.bincount(label.ravel(), _counted(mask).ravel(), count)[1:] for mask in own)
    held = [int((has >= _OWN).sum()) for has in (ours, theirs)]
    apart = [
        int(((has >= _CLEARLY) & (other <= _NEXT_TO_NONE * has)).sum())
        for has, other in ((ours, theirs), (theirs, ours))
    ]
    return (held[0], held[1]), (apart[0], apart[1])


def _counted(mask: Mask) -> NDArray[np.int64]:
    """Count the pixels of a mask in each cell."""
    height, width = (side // _CELL * _CELL for side in mask.shape)
    cells = mask[:height, :width].reshape(height // _CELL, _CELL, width // _CELL, _CELL)
    return np.asarray(cells.sum(axis=(1, 3)))
