"""One picture found in a part of another, and whether that one goes on around it."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from sscd_cli.advice.pixels.alignment import Floats, correlation
from sscd_cli.advice.pixels.filters import blurred, grey_of
from sscd_cli.advice.pixels.recoding import CodedPart

_SCALES = np.geomspace(0.97, 0.4, 16)  # of the part, in shares of the picture that holds it
_WINDOW = 192  # pixels at full resolution that are looked for
_TONE, _PLAIN = 8, 0.7  # grey levels, and the share of a band that is of one tone
_NEAR, _SOFT = 3, 0.25  # pixels around a box that mix; detail beyond, as a share of that within
_FLAT = 0.25  # squared grey levels of a window: sums of so little are rounding
_SAME = 0.9  # correlation of them where they are found


class Spot(NamedTuple):
    """Where a part was found: how well, and its box in pixels of the picture that holds it."""

    score: float
    left: int = 0
    top: int = 0
    width: int = 0
    height: int = 0


def found(holder: Floats, part: Floats, own: float = 0.0) -> Spot:
    """Look for all of one picture in the other, by correlation at many scales.

    own: the scale at which it is there if nobody changed its size; 0 does without. That place is
    exact, the others lie a little inside of the edges or outside, which `goes_on` is made for.
    """
    height, width = holder.shape
    best = Spot(-1.0)
    fit = min(width / part.shape[1], height / part.shape[0])
    for scale in (*_SCALES * fit, own):
        w, h = round(part.shape[1] * scale), round(part.shape[0] * scale)
        if min(w, h) < 16 or w > width or h > height or (w, h) == (width, height):
            continue
        small = np.asarray(cv2.resize(part, (w, h), interpolation=cv2.INTER_AREA), np.float32)
        place = _best_place(holder, small)
        if place.score > best.score:
            best = place
    return best


def offset(holder: CodedPart, part: CodedPart, guess: tuple[int, int]) -> tuple[int, int] | None:
    """Return where a picture of the same scale begins in another one, to the pixel.

    guess: about where, in pixels across and down. None where they are not that alike there.
    """
    margin = min(160, 8 + max(holder.size) // 25)
    inner = part.cut(
        (part.left + part.width // 2 - _WINDOW // 2, part.top + part.height // 2 - _WINDOW // 2),
        _WINDOW,
    )
    around = inner.left + guess[0] - margin, inner.top + guess[1] - margin
    outer = holder.cut(around, _WINDOW + 2 * margin)
    grey, small = (grey_of(coded.pixels) for coded in (outer, inner))
    if min(small.shape) < 48 or grey.shape[0] < small.shape[0] or grey.shape[1] < small.shape[1]:
        return None
    place = _best_place(grey, small)
    if place.score < _SAME:
        return None
    return outer.left + place.left - inner.left, outer.top + place.top - inner.top


def _best_place(holder: Floats, part: Floats) -> Spot:
    """Find a part at its own size by correlation; what is flat is like nothing."""
    score = cv2.matchTemplate(holder, part, cv2.TM_CCOEFF_NORMED)
    inside = slice(score.shape[0]), slice(score.shape[1])
    mean, squares = (
        sums(holder, cv2.CV_64F, part.shape[::-1], anchor=(0, 0))[inside]
        for sums in (cv2.boxFilter, cv2.sqrBoxFilter)
    )
    score[squares - mean**2 < _FLAT] = 0
    top, left = np.unravel_index(score.argmax(), score.shape)
    return Spot(float(score[top, left]), int(left), int(top), part.shape[1], part.shape[0])


def goes_on(image: Floats, place: Spot) -> bool:
    """Say whether the picture goes on beyond a box, or something else begins at its edges."""
    left, top = place.left, place.top
    right, bottom = left + place.width, top + place.height
    across: list[float] = []
    within: list[float] = []
    plain: list[bool] = []
    for lines, edge, rest in (
        (image.T, left, (top, bottom)),
        (image.T[::-1], image.shape[1] - right, (top, bottom)),
        (image, top, (left, right)),
        (image[::-1], image.shape[0] - bottom, (left, right)),
    ):
        if edge < 4:
            continue
        # the row at the edge itself mixes both; those inside say how alike rows so near are
        beyond, inside, further = (lines[at, slice(*rest)] for at in (edge - 2, edge + 1, edge + 4))
        across.append(_line_likeness(inside, beyond))
        within.append(_line_likeness(inside, further))
        ground = np.median(lines[: edge - 1])
        share = [float((np.abs(v - ground) < _TONE).mean()) for v in (lines[: edge - 1], inside)]
        plain.append(share[0] > _PLAIN > 2 * share[1])  # but for some words, as above a post
    likeness = min(0.35 * len(across), 0.6 * sum(within))
    return not across or (not all(plain) and sum(across) > likeness)


def is_softer_around(image: Floats, place: Spot) -> bool:
    """Say whether a box lies within next to no detail: a canvas is often filled with a blur of it.

    Around a part of a photograph there is mostly 0.4 or more of its detail.
    """
    detail = np.abs(image - blurred(image, 1.0))
    down = slice(place.top, place.top + place.height)
    across = slice(place.left, place.left + place.width)
    beyond = np.ones(image.shape, np.bool_)
    beyond[
        max(0, down.start - _NEAR) : down.stop + _NEAR,
        max(0, across.start - _NEAR) : across.stop + _NEAR,
    ] = False
    return bool(beyond.any() and detail[beyond].mean() < _SOFT * detail[down, across].mean())


def _line_likeness(inside: Floats, outside: Floats) -> float:
    if inside.std() < 4 and outside.std() < 4:
        return float(abs(inside.mean() - outside.mean()) < 12)
    return correlation(inside, outside)
