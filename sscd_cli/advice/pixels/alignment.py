"""Bring one picture over another: flips, quarter turns, crops, scales, and small rotations.

A map is an affine one, float64 (2, 3), from points of one picture to points of another; a point is
(x, y) in pixels, and the middle of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]
Map = NDArray[np.float64]

cv2.setNumThreads(1)  # its threads would stand in the way of those that look at several pairs

_SMALL = 32  # pixels a side of the whole picture, squashed
_POINTS = 500  # of interest in a picture
_RATIO = 0.85  # of a point's distance to its nearest and to its second nearest
_FEWEST = 7  # points that must agree on a map
_SCALES = (0.2, 5.0)
_STRETCH = 2.0


class View(NamedTuple):
    """How a picture is turned: down and across, 1 or -1 for the other way; then its axes swap."""

    down: int = 1
    across: int = 1
    swapped: bool = False

    @property
    def back(self) -> View:
        """The view that undoes this one."""
        return View(self.across, self.down, True) if self.swapped else self

    def of(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Turn an array (h, w, ...)."""
        turned = pixels[:: self.down, :: self.across]
        return turned.swapaxes(0, 1) if self.swapped else turned

    @property
    def map(self) -> Map:
        """The map from the turned picture to the one that was turned, each a square of side 1."""
        across, down = [self.across, 0, self.across < 0], [0, self.down, self.down < 0]
        to = np.array([across, down], np.float64)
        return to[:, [1, 0, 2]] if self.swapped else to


VIEWS = tuple(View(a, b, swapped) for swapped in (False, True) for a in (1, -1) for b in (1, -1))


def whole_map(one: Floats, other: Floats) -> tuple[float, Map]:
    """Lay all of one picture over all of the other: return the best correlation and its map.

    one, other: grey, (h, w). All flips and quarter turns are tried; of what fits as well, as an
    even pattern does, the least.
    """
    alike = likeness(_squashed(one), _squashed(other))
    best = max(alike, key=alike.__getitem__)
    (height, width), (high, wide) = one.shape, other.shape
    return alike[best], np.diag([wide, high]) @ best.map @ np.diag([1 / width, 1 / height, 1])


def point_map(one: Floats, other: Floats) -> Map | None:
    """Return the map on which most points of interest agree, be the other mirrored or not.

    None where too few agree.
    """
    detector: Any = cv2.ORB.create(
        _POINTS, scaleFactor=1.3, nlevels=6, fastThreshold=8, edgeThreshold=15, patchSize=25
    )
    left = detector.detectAndCompute(_bytes(one), None)
    found: list[tuple[int, Map]] = []
    for mirrored in (False, True):
        view = _bytes(other[:, ::-1] if mirrored else other)
        agreed, to = _agreed(left, detector.detectAndCompute(view, None))
        if mirrored:
            to = np.asarray(np.array([[-1, 0, other.shape[1]], [0, 1, 0]]) @ square(to))
        found.append((agreed, to))
    most, best = max(found, key=lambda map: map[0])
    return best if most >= _FEWEST else None


def scale_of(to: Map) -> float:
    """Return how many pixels of the other picture one pixel becomes, along a side."""
    return float(np.sqrt(abs(np.linalg.det(to[:, :2]))))


def turn_of(to: Map) -> float:
    """Return by how many degrees a map turns beside quarter turns and mirroring, 0 to 45."""
    across, down = to[:, 0]
    turn = float(np.degrees(np.arctan2(down, across))) % 90
    return min(turn, 90 - turn)


def inverse(to: Map) -> Map:
    """Return the map back."""
    return np.asarray(np.linalg.inv(square(to))[:2])


def square(to: Map) -> Map:
    """Return the map as a matrix (3, 3)."""
    return np.asarray(np.vstack([to, [0, 0, 1]]))


def laid_over(picture: Floats, to: Map, shape: tuple[int, ...]) -> Floats:
    """Return the other picture as seen through a map, `shape` large; its edges go on outside."""
    scale = scale_of(to)
    image = Image.fromarray(picture)
    if scale > 1.1:
        size = max(1, round(image.width / scale)), max(1, round(image.height / scale))
        shrunk = np.diag([size[0] / image.width, size[1] / image.height])
        image, to = image.resize(size, Image.Resampling.BOX), shrunk @ to
    margin = 8
    padded = Image.fromarray(np.pad(np.asarray(image), margin, mode="edge"))
    moved = to + np.array([[0, 0, margin], [0, 0, margin]])
    data = tuple(float(value) for value in moved.ravel())
    how = Image.Transform.AFFINE, data, Image.Resampling.BILINEAR
    return np.asarray(padded.transform((shape[1], shape[0]), *how), np.float32)


def likeness(one: Floats, other: Floats) -> dict[View, float]:
    """Return the correlation of one square with each view of another, the unturned one first."""
    return {view: correlation(one, view.of(other)) for view in VIEWS}


def correlation(one: Floats, other: Floats) -> float:
    """Return Pearson's correlation of two arrays; 0 where one is flat."""
    one, other = one - one.mean(), other - other.mean()
    norm = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / (norm + 1e-3)


def _agreed(left: tuple[Any, Any], right: tuple[Any, Any]) -> tuple[int, Map]:
    """Match points and let them agree on a map: return how many do, and the map."""
    none = 0, np.eye(2, 3)
    (points, words), (others, other_words) = left, right
    if min(len(points), len(others)) < _FEWEST:
        return none
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(words, other_words, k=2)
    good = [p[0] for p in pairs if len(p) == 2 and p[0].distance < _RATIO * p[1].distance]
    if len(good) < _FEWEST:
        return none
    source = np.array([points[match.queryIdx].pt for match in good], np.float32) + 0.5
    target = np.array([others[match.trainIdx].pt for match in good], np.float32) + 0.5
    found: tuple[Any, Any] = cv2.estimateAffine2D(
        source, target, ransacReprojThreshold=3.0, maxIters=500, confidence=0.99
    )
    to, agreeing = found
    if to is None or not _is_plausible(to):
        return none
    return int(agreeing.sum()), to


def _is_plausible(to: Map) -> bool:
    large, little = np.linalg.svd(to[:, :2])[1]
    is_scale = _SCALES[0] < scale_of(to) < _SCALES[1]
    return bool(is_scale and large < _STRETCH * little)


def _bytes(picture: Floats) -> NDArray[np.uint8]:
    return np.ascontiguousarray(picture.round().clip(0, 255).astype(np.uint8))


def _squashed(picture: Floats) -> Floats:
    image = Image.fromarray(picture).resize((_SMALL, _SMALL), Image.Resampling.BOX)
    return np.asarray(image, np.float32)
