"""A second look at two pictures that a network takes for copies: are they one shot or two?

One is brought over the other and what is left is looked at. Compression, noise and blur are
spread evenly. Another shot differs in places: what differs is found a few pixels off, or stands
now in the one picture and now in the other, as words do on two pages. Of two drawings on an even
ground hardly anything is found. What was laid over a copy stands in one of them only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sscd_cli.advice.pixels.alignment import Floats, point_map, whole_map
from sscd_cli.advice.pixels.filters import blurred
from sscd_cli.advice.pixels.residual import AGREE, Overlay, Residual
from sscd_cli.advice.pixels.tiles import FINE
from sscd_cli.choices import CANNOT_TELL, CONFIRMED, OTHER_SHOT, LookVerdict

SIDE = 320  # pixels of the longer side that are looked at

_CERTAIN = 0.9  # share of tiles after which no other map is sought
# what is asked of a copy: tiles, their share that has moved, that one has alone; see `AGREE`
_TILES, _STILL, _BARE = 12, 0.03, 0.001
_RELIT = 2.5  # grey levels of light that a copy does not exceed
_WHOLLY = 0.65  # share of either picture that the other covers: no collage, no picture in another
_MOVED = 0.12  # share of tiles that another shot has elsewhere
_OWN, _EVENLY, _PLACES, _MUCH = 0.0004, 0.12, 2, 0.002
_OVER = 0.4  # share of the richest tiles found of another shot in which some have moved
# of two drawings: the share of either that is of one tone, of tiles that agree, and how many; the
# share of its contrast that strokes keep blurred, and small print does not
_EVEN, _FOREIGN, _STROKES, _BROAD, _BLUR = 0.5, 0.3, 16, 0.3, 2.0
# of two that lie over one another: how alike they are squashed; where a subject or depth moves,
# the shares of tiles that it moves, that stay, and of the richest that are found (not if blurred)
_LAID, _NUDGED, _STAYS, _SHARP = 0.6, 0.05, 0.75, 0.7
# of those on an even ground: what one has alone, in shares of what the other has; tiles
_HALF, _ALONE, _TENTH = 0.5, 2, 0.1


def second_look(
    one: NDArray[np.uint8], other: NDArray[np.uint8], *, wholly: bool = False
) -> LookVerdict:
    """Say whether two pictures are one shot: some 40 ms on one core.

    Args: one, other: upright RGB, uint8 (h, w, 3), best with a longer side of `SIDE`. wholly: what
        holds much beside the other picture is not confirmed.
    Returns: "copy confirmed", "other shot", or "cannot tell". Each of the first two is said only
        on evidence for it.
    """
    left, right = _luma(one), _luma(other)
    if min(left.shape + right.shape) < 48:
        return CANNOT_TELL
    alike, to = whole_map(left, right)
    overlay = Overlay.of(left, right, to)
    if overlay.score < _CERTAIN:
        found = point_map(left, right)
        if found is not None:
            overlay = max(overlay, Overlay.of(left, right, found), key=lambda lay: lay.score)
    overlay = overlay.refined(FINE)
    even = min(_even(left), _even(right))
    broad = min(_broad(left), _broad(right))
    rest = overlay.residual()
    said = _verdict_on(rest, overlay.score, alike, even, broad)
    return CANNOT_TELL if said == CONFIRMED and wholly and rest.covered < _WHOLLY else said


def _verdict_on(
    rest: Residual, score: float, alike: float, even: float, broad: float
) -> LookVerdict:
    """Return the verdict on what is left.

    score: of the overlay. alike: correlation of the two, squashed. even: share of either that is
    of one tone. broad: share of the contrast of either that is of broad things.
    """
    less, more = sorted(rest.own)
    is_over = alike >= 0.5 or rest.same >= 0.25
    is_laid, is_plain = alike >= _LAID, even >= _EVEN
    many = min(rest.places) >= _PLACES or less >= _MUCH
    two_sided = less >= max(_OWN, _EVENLY * more) and many
    moved = rest.moved >= _MOVED and 0.2 <= rest.same < AGREE and score >= _OVER
    nudged = is_laid and score >= _SHARP and rest.moved >= _NUDGED and rest.same >= _STAYS
    # a copy of a drawing would lie over it: its corners stand out before the even ground, but for
    # those of small print
    foreign = is_plain and rest.same < _FOREIGN and rest.tiles >= _STROKES and broad >= _BROAD
    # what is laid over a copy is in one place, and hides less than it adds
    alone = [
        n >= max(_ALONE, _TENTH * m) for n, m in zip(rest.alone, rest.alone[::-1], strict=True)
    ]
    each = all(place or tiles for place, tiles in zip(rest.apart, alone, strict=True))
    apart = is_laid and is_plain and rest.same < AGREE and (each or less >= max(_OWN, _HALF * more))
    if foreign or nudged or apart or (is_over and (two_sided or moved)):
        return OTHER_SHOT
    settled = rest.same >= AGREE and rest.moved < _STILL and (more < _BARE or not any(rest.places))
    sure = rest.tiles >= _TILES and rest.relit < _RELIT
    return CONFIRMED if settled and sure else CANNOT_TELL


def small(image: Image.Image) -> NDArray[np.uint8]:
    """Return a picture as `second_look` takes it: RGB, the longer side at most `SIDE`."""
    factor = min(1.0, SIDE / max(image.size))
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX))


def _even(grey: Floats) -> float:
    """Return the share of pixels within a level of the commonest grey."""
    count = np.bincount(grey.round().astype(np.int64).ravel(), minlength=256)
    return float(np.convolve(count, np.ones(3)).max() / grey.size)


def _broad(grey: Floats) -> float:
    """Return the share of the variance that a blur leaves."""
    return float(blurred(grey, _BLUR).var() / max(float(grey.var()), 1.0))


def _luma(picture: NDArray[np.uint8]) -> Floats:
    return picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
