"""Whether the tiles of a picture are found in another one that lies over it, and where.

Shape legend: T tiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sscd_cli.advice.pixels.alignment import Floats, Map
from sscd_cli.advice.pixels.filters import deviations

TILE = 24  # pixels a side
SAME = 0.75  # correlation from which a tile is found
FINE, MIDDLE, COARSE = (1.0, 5.0), (1.5, 8.0), (2.5, 10.0)  # bands: see `filters`

_REACH = 6  # pixels to either side in which a tile is sought
_WINDOW, _SHIFTS = TILE + 2 * _REACH, 2 * _REACH + 1
_TEXTURE = 1.5  # grey levels by which a tile must vary in either picture
_THING, _GROUND = 4.0, 1.0  # grey levels: a tile with something in it, and one of even ground
_ELSEWHERE = 2, 0.15  # pixels off, and by how much more alike than in place
_NEAR = slice(_REACH - 1, _REACH + 2)  # shifts that an imperfect map may leave


@dataclass(frozen=True, eq=False)
class Tiles:
    """corners: left and top, int64 (T, 2). energy: grey levels that each varies by, in both
    pictures, (2, T). here: correlation in place, within a pixel, (T,). best: the best one in
    reach. shift: (T, 2), where that is.
    """

    corners: NDArray[np.int64]
    energy: Floats
    here: Floats
    best: Floats
    shift: Floats

    @classmethod
    def compare(
        cls, one: Floats, other: Floats, corners: NDArray[np.int64], most: int | None = None
    ) -> Tiles:
        """Seek tiles of one picture in the other one; of more than `most` the richest."""
        views = np.lib.stride_tricks.sliding_window_view
        tile = views(one, (TILE, TILE))[corners[:, 1], corners[:, 0]]
        if most is not None and len(tile) > most:
            richest = np.sort(np.argsort(-tile.var(axis=(1, 2)), kind="stable")[:most])
            tile, corners = tile[richest], corners[richest]
        x, y = (corners - _REACH).T
        tile = tile - tile.mean(axis=(1, 2), keepdims=True)
        window = views(other, (_WINDOW, _WINDOW))[y, x]
        product = np.zeros((len(tile), _SHIFTS, _SHIFTS), np.float32)
        for at, both in enumerate(zip(window, tile, strict=True)):
            product[at] = cv2.matchTemplate(*both, cv2.TM_CCORR) / TILE**2
        ours = np.sqrt((tile**2).mean(axis=(1, 2)))
        theirs = views(deviations(other, TILE), (_SHIFTS, _SHIFTS))[y, x]
        found = (product / np.maximum(ours[:, None, None] * theirs, 0.5)).astype(np.float32)
        flat = found.reshape(len(found), _SHIFTS**2)
        at = flat.argmax(axis=1)
        return cls(
            corners=corners,
            energy=np.stack([ours, theirs[:, _REACH, _REACH]]),
            here=found[:, _NEAR, _NEAR].max(axis=(1, 2)),
            best=flat.max(axis=1),
            shift=np.stack([at % _SHIFTS, at // _SHIFTS], axis=1).astype(np.float32) - _REACH,
        )

    def __len__(self) -> int:
        return len(self.best)

    @property
    def count(self) -> int:
        """How many hold something to compare."""
        return int(self._used.sum())

    @property
    def same(self) -> float:
        """Of those, the share that is found in place."""
        return self._share(self.here > SAME)

    @property
    def moved(self) -> float:
        """Of those, the share that is found elsewhere, and not so well in place."""
        far, by = _ELSEWHERE
        shifted = np.abs(self.shift).max(axis=1, initial=0) >= far
        holds = self.energy.min(axis=0) > _TEXTURE
        return self._share(holds & shifted & (self.best > SAME) & (self.here < self.best - by))

    @property
    def alone(self) -> tuple[int, int]:
        """How many hold a thing in the one picture only, and how many in the other one only."""
        thing, ground = self.energy > _THING, self.energy < _GROUND
        return int((thing[0] & ground[1]).sum()), int((thing[1] & ground[0]).sum())

    @property
    def _used(self) -> NDArray[np.bool_]:
        used: NDArray[np.bool_] = self.energy.max(axis=0) > _TEXTURE
        return used

    def _share(self, which: NDArray[np.bool_]) -> float:
        return float(which[self._used].mean()) if self.count else 0.0

    def agreed(self) -> Map | None:
        """Return the map on which most shifts agree; None where there are too few."""
        good = (self.best > 0.6) & (self.energy.min(axis=0) > 1)
        if good.sum() < 8:
            return None
        centres = self.corners[good] + TILE / 2
        terms, to = np.pad(centres, ((0, 0), (0, 1)), constant_values=1), centres + self.shift[good]
        off = np.abs(self.shift[good] - np.median(self.shift[good], axis=0)).max(axis=1)
        limit = 3.0
        for _ in range(6):
            use = off <= limit
            if use.sum() < 6:
                return None
            fit = np.linalg.lstsq(terms[use], to[use], rcond=None)[0]
            off = np.abs(terms @ fit - to).max(axis=1)
            limit = max(1.0, 1.5 * float(np.median(off)))
        return np.asarray(fit.T)


def corners_within(shape: tuple[int, ...], to: Map, other: tuple[int, ...]) -> NDArray[np.int64]:
    """Return where tiles lie in a picture that a map puts wholly into the other, int64 (T, 2)."""
    rows, columns = (
        np.arange(_REACH, side - TILE - _REACH + 1, TILE) + (side - 2 * _REACH) % TILE // 2
        for side in shape
    )
    x, y = np.meshgrid(columns, rows)
    corners = np.stack([x.ravel(), y.ravel()], axis=1)
    inside = np.ones(len(corners), np.bool_)
    for offset in ((0, 0), (TILE, 0), (0, TILE), (TILE, TILE)):
        at = (corners + offset) @ to[:, :2].T + to[:, 2]
        inside &= ((at >= -0.5) & (at <= np.array(other[::-1]) + 0.5)).all(axis=1)
    return corners[inside]
