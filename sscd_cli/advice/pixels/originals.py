"""Which of two pictures the other was made from, read off their pixels in a few milliseconds.

A frame, a canvas, a caption, a screenshot or another picture around is a change of what it holds;
a crop or a smaller size has lost something; larger without detail is an upscale; and of equals
the one that was greyed, blurred, clipped, flattened or made noisy is the copy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sscd_cli.advice.pixels.alignment import Floats, View, correlation, likeness
from sscd_cli.advice.pixels.canvas import canvas_of
from sscd_cli.advice.pixels.filters import block_means, grey_of
from sscd_cli.advice.pixels.finding import Spot, found, goes_on, is_softer_around, offset
from sscd_cli.advice.pixels.recoding import CodedPart, first_of, scaled
from sscd_cli.advice.pixels.spectra import BANDS, is_enlarged, power_of
from sscd_cli.images.coding import BLOCKY, Coding

_SIDE = 96  # pixels of the longer side, to find one picture in another
_SAME = 64  # pixels a side of the whole picture, squashed
_PATCH = 512  # pixels at full resolution whose spectrum is looked at
_NOISE = 7  # of grain: that of a noise of 2 grey levels
_ALIKE, _FOUND = 0.97, 0.86  # correlation: of two whole pictures, of a part and its place
_TURNED, _ONE_VIEW = 0.6, 0.85  # the same: of two that show one thing, of two sizes of one picture
_TONE = 10  # grey levels by which what is at the edges may differ, as with noise
_OTHER_TONES = 3  # grey levels by which pictures differ to the eye
_CLIPPED, _ONE_SIDED, _MUCH = 0.008, 0.003, 0.05  # shares of values that were cut off
# of the finer detail of a sharper picture, which one that was blurred has less of, for what was
# sharpened has at most 2.8 times that of its original; or more of the finest again, as noise is
_BLURRED, _ROUGH = 0.36, 1.15
# of the colour of the other: with less it was taken, for nobody gives four times as much; up to
# there it may have been given to the other
_GREYED, _PALE = 0.25, 0.45
_FLAT = 0.72  # of the contrast of the other, which a picture may have been given, too, up to here
_BARE = 0.5  # of what lies around a part: that is flat
_COVERED, _WIDE = 0.85, 0.15  # of a canvas: by what it holds and flat colour; by that alone
_CANVAS, _FILLED = 0.025, 0.012  # share of flat border: of a canvas at least; of none at most


class Origin(NamedTuple):
    """Which of two pictures the other one was made from.

    original: 0 or 1; None where nothing tells, though they differ. reason: what the other one is.
    """

    original: int | None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Look:
    """What is remembered of a picture.

    size: width, height. grey: (h, w), at most `_SIDE`. whole: RGB, (S, S, 3). canvas: share of a
    flat border or of flat corners. corners: those of a turned canvas. power: of 40 bands of
    frequencies along rows and columns, the last one the finest, (2, 40). grain: grey levels that
    flat places vary by. sharp: as grain, everywhere. part: its middle, as it is coded.
    """

    size: tuple[int, int]
    grey: Floats
    whole: Floats
    canvas: float
    corners: int
    power: Floats
    grain: float
    sharp: float
    part: CodedPart

    @classmethod
    def of(cls, image: Image.Image, coding: Coding | None = None, format: str = "") -> Look:
        """Look at an upright RGB picture at its full resolution; coding, format: of its file."""
        factor = min(1.0, _SIDE / max(image.size))
        small = (max(8, round(image.width * factor)), max(8, round(image.height * factor)))
        whole = np.asarray(image.resize((_SAME, _SAME), Image.Resampling.BOX), np.float32)
        patch = _patch(image)
        fine = np.abs(
            4 * patch[1:-1, 1:-1]
            - patch[:-2, 1:-1]
            - patch[2:, 1:-1]
            - patch[1:-1, :-2]
            - patch[1:-1, 2:]
        )
        blocks = _blocks(fine)
        canvas, corners = canvas_of(np.asarray(image.resize((128, 128), Image.Resampling.NEAREST)))
        return cls(
            size=image.size,
            grey=np.asarray(image.convert("L").resize(small, Image.Resampling.BOX), np.float32),
            whole=whole,
            canvas=canvas,
            corners=corners,
            power=np.stack([power_of(patch), power_of(patch.T)]),
            grain=float(np.quantile(blocks, 0.1)),
            sharp=float(blocks.mean()),
            part=CodedPart.of(image, coding, blocky=format in BLOCKY),
        )

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]

    @property
    def detail(self) -> Floats:
        """By axis, the power of the finest fifth against that of the second."""
        fifth = BANDS // 5
        detail: Floats = self.power[:, -fifth:].mean(1) / self.power[:, fifth : 2 * fifth].mean(1)
        return detail


def compare(one: Look, other: Look) -> Origin | None:
    """Say which is the original; None where both show the same, and nothing tells."""
    return _told(one, other) or (Origin(None) if _differ(one.whole, other.whole) else None)


def _told(one: Look, other: Look) -> Origin | None:
    alike = likeness(grey_of(one.whole), grey_of(other.whole))
    best = max(alike, key=alike.__getitem__)
    view = best if alike[best] >= _TURNED else None
    coded = None if view is None else _by_coding(one, other, view)
    if coded is not None:
        return coded
    origin = None
    if max(alike.values()) < _ALIKE:
        origin = _by_part(one, other, alike[View()]) or _by_canvas(one, other)
    if origin is not None or view is None:
        return origin
    return _by_size(one, other, view, alike[view]) or _by_what_is_seen(one, other, view)


def _differ(one: Floats, other: Floats) -> bool:
    """Say whether anybody sees that two pictures are not the same."""
    return bool(np.abs(one - other).mean() > _OTHER_TONES or _small_difference(one, other).any())


def _by_coding(one: Look, other: Look, view: View) -> Origin | None:
    """Tell two pictures of one size and view by their coding, and say what else is seen."""
    mine, theirs = one.part.turned(view.back), other.part.turned(view)
    if theirs.size != one.size:
        return None
    first = first_of(one.part, other.part, theirs, mine)
    if first is None:
        return None
    seen = _by_canvas(one, other) or _by_what_is_seen(one, other, view)
    if seen is not None and seen.original == first:
        return seen
    return Origin(first, _change(view, one.whole, view.of(other.whole)))


def _by_canvas(one: Look, other: Look) -> Origin | None:
    """The one on a flat canvas, where the other fills all of its own, is the copy."""
    more, less = max(one.canvas, other.canvas), min(one.canvas, other.canvas)
    turned = int(other.corners > one.corners)
    looks = one, other
    is_larger = looks[turned].pixels > looks[1 - turned].pixels
    if is_larger and looks[1 - turned].corners <= 1 and looks[turned].corners >= 3:
        return Origin(1 - turned, "on a frame or canvas")
    if more < _CANVAS or less > _FILLED or _ring(one, other) < _TONE:
        return None
    if correlation(grey_of(one.whole), grey_of(other.whole)) > 1 - more / 4:
        return None  # room for a canvas would have moved what it holds
    return Origin(int(one.canvas > other.canvas), "on a frame or canvas")


def _ring(one: Look, other: Look) -> float:
    """Return how much the outermost pixels of two pictures differ, whatever lies between."""
    apart = np.abs(one.whole - other.whole)
    apart[1:-1, 1:-1] = 0
    return float(apart.mean()) * _SAME / 4


def _by_part(one: Look, other: Look, alike: float) -> Origin | None:
    """Find one whole picture in a part of the other, where it is much more alike than the whole."""
    places = [_found(one, other), _found(other, one)]
    holder = int(places[1].score > places[0].score)
    place = places[holder]
    if place.score < max(_FOUND, (1 + alike) / 2):
        return None
    outer, inner = ((one, other), (other, one))[holder]
    first = _first_of_part(outer, inner, place)
    canvas = _by_canvas(one, other)
    canvas = canvas if canvas and canvas.original != holder else None
    covered = place.width * place.height / outer.grey.size
    if first is None and canvas:
        share = max(one.canvas, other.canvas)
        if share > _WIDE or covered + share > _COVERED:
            return canvas
    if first is None and outer.canvas > _BARE * (1 - covered) > _BARE * inner.canvas:
        return canvas or Origin(None)  # a flat border was cut off, or put on
    is_crop = first == 0
    if first is None and goes_on(outer.grey, at := found(outer.grey, inner.grey)):
        if is_softer_around(outer.grey, at):
            return canvas or Origin(None)  # a blur put around it, or what is out of focus cut off
        is_crop = True
    if is_crop:
        return Origin(holder, "a crop")
    return canvas or Origin(1 - holder, "with something around it")


def _found(holder: Look, part: Look) -> Spot:
    own = part.size[0] / holder.size[0] * holder.grey.shape[1] / part.grey.shape[1]
    return found(holder.grey, part.grey, own)


def _first_of_part(holder: Look, part: Look, place: Spot) -> int | None:
    """Return whether the holder (0) or the part of the same scale (1) was coded first."""
    across, down = (
        side / all for side, all in zip(holder.size, holder.grey.shape[::-1], strict=True)
    )
    if not 0.92 < place.width * across / part.size[0] < 1.08:
        return None
    at = offset(holder.part, part.part, (round(place.left * across), round(place.top * down)))
    if at is None:
        return None
    return first_of(
        holder.part,
        part.part,
        part.part.moved(at, holder.size),
        holder.part.moved((-at[0], -at[1]), part.size),
    )


def _by_what_is_seen(one: Look, other: Look, view: View) -> Origin | None:
    """Compare what two pictures of one view show."""
    return _by_overlay(one.whole, view.of(other.whole)) or _by_tones(one, other, view)


def _change(view: View, one: Floats, other: Floats) -> str:
    """Say what was done to a picture that was coded once more."""
    if view != View():
        return "mirrored or turned"
    return "with other tones" if np.abs(one - other).mean() > _OTHER_TONES else "saved again"


def _by_size(one: Look, other: Look, view: View, alike: float) -> Origin | None:
    if 0.95 < one.pixels / other.pixels < 1.05:
        return None
    if alike < _ONE_VIEW:
        return Origin(None)
    looks = one, other
    shapes = [look.size[0] / look.size[1] for look in looks]
    first = _first_of_sizes(one, other, view)
    if not 0.97 < shapes[0] / shapes[1] < 1.03 and not 0.97 < shapes[0] * shapes[1] < 1.03:
        if first is not None:
            return Origin(first, "stretched")
        uneven = [abs(float(np.log(np.divide(*look.detail)))) for look in looks]
        return Origin(int(uneven[1] < uneven[0]), "stretched")
    return _by_scale((one.part, other.part.turned(view)), first)


def _by_scale(parts: tuple[CodedPart, CodedPart], first: int | None) -> Origin:
    """Tell two sizes of one view; first: which was coded first, if that is known."""
    large = int(math.prod(parts[1].size) > math.prod(parts[0].size))
    if first is None:
        first = 1 - large if is_enlarged(parts[large], parts[1 - large]) else large
    return Origin(first, "a smaller size" if first == large else "an upscale")


def _first_of_sizes(one: Look, other: Look, view: View) -> int | None:
    mine, theirs = one.part.turned(view.back), other.part.turned(view)
    return first_of(one.part, other.part, scaled(theirs, one.part), scaled(mine, other.part))


def _small_difference(one: Floats, other: Floats) -> NDArray[np.bool_]:
    """Mark the small part in which two pictures differ; nothing where they differ elsewhere."""
    difference = np.abs(one - other).max(axis=2)
    mask = difference > 40
    small = 0.003 < mask.mean() < 0.45 and difference[~mask].mean() <= 4
    return mask if small else np.zeros_like(mask)


def _by_overlay(one: Floats, other: Floats) -> Origin | None:
    """Where a small part differs, the one whose edges run along that part has it laid over."""
    mask = _small_difference(one, other)
    if not mask.any():
        return None
    edge = np.zeros_like(mask)
    edge[1:] |= mask[1:] != mask[:-1]
    edge[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    strength = [_slope(grey_of(picture))[edge].mean() for picture in (one, other)]
    if max(strength) < 1.15 * min(strength):
        return None
    return Origin(int(strength[0] > strength[1]), "with something laid over it")


def _by_tones(one: Look, other: Look, view: View) -> Origin | None:
    """Compare grain, colour, clipping, sharpness and contrast."""
    turned: Floats = view.of(other.whole)
    grain = abs(one.grain - other.grain)
    if grain > max(_NOISE, 0.6 * abs(one.sharp - other.sharp)):
        clean = _less((one.grain, other.grain), 0.5)
        return Origin(clean, "with noise" if clean is not None else "")
    same = ~_small_difference(one.whole, turned)
    colours = _colour(one.whole[same]), _colour(turned[same])
    spread = [float(grey_of(look.whole).std()) + 1 for look in (one, other)]
    vivid = [colour / contrast for colour, contrast in zip(colours, spread, strict=True)]
    pale = _less((vivid[0], vivid[1]), _PALE)
    if pale is not None and colours[1 - pale] > 3:
        is_grey = vivid[pale] < _GREYED * vivid[1 - pale]
        return Origin(1 - pale, "with less colour") if is_grey else Origin(None)
    ends = _clipped(one.whole, turned), _clipped(turned, one.whole)
    clipped = Origin(int(ends[0] > ends[1]), "with clipped tones")
    soft = _less((one.sharp / spread[0], other.sharp / spread[1]), 0.7)
    if soft is not None and abs(ends[0] - ends[1]) > _MUCH:
        return clipped
    if soft is not None:
        is_blurred = _is_blurred(*((one, other), (other, one))[soft])
        return Origin(1 - soft, "with less detail") if is_blurred else Origin(None)
    if max(ends) > (_ONE_SIDED if min(ends) < 0.1 * max(ends) else min(ends) + _CLIPPED):
        return clipped
    flat = _less((spread[0], spread[1]), _FLAT)
    return None if flat is None else Origin(1 - flat, "with less contrast")


def _is_blurred(soft: Look, sharp: Look) -> bool:
    """Say whether the softer of two pictures was blurred: the other may have been sharpened."""
    kept = np.sqrt(soft.power / sharp.power).mean(axis=0)
    kept /= np.median(kept[1:6])
    return bool(kept[8:38].min() < _BLURRED or kept[34:].mean() > _ROUGH * kept[16:24].mean())


def _less(values: tuple[float, float], ratio: float) -> int | None:
    """Return which of two values is less than a share of the other one."""
    low = int(values[1] < values[0])
    return low if values[low] < ratio * values[1 - low] else None


def _clipped(one: Floats, other: Floats) -> float:
    """Return the share of values at an end of the scale that still differ in the other picture."""
    share = 0.0
    for channel in range(3):
        for ends in (one[..., channel] <= 3, one[..., channel] >= 252):
            there = other[..., channel][ends]
            if len(there) > 8:
                share += float((np.abs(there - np.median(there)) > 10).sum()) / one.size
    return share


def _colour(whole: Floats) -> float:
    """Return what is left of colour, in grey levels, once brightness is known: 0 of sepia."""
    grey = grey_of(whole).ravel()
    basis = np.stack([np.ones_like(grey), grey, grey**2 / 255], axis=1)
    tints = (whole[..., ::2] - whole[..., 1:2]).reshape(-1, 2)
    fit, *_ = np.linalg.lstsq(basis, tints, rcond=None)
    return float((tints - basis @ fit).std())


def _slope(grey: Floats) -> Floats:
    down, across = np.gradient(grey)
    slope: Floats = np.hypot(down, across)
    return slope


def _patch(image: Image.Image) -> Floats:
    """Return the middle of a picture in grey."""
    across, down = (min(side, _PATCH) for side in image.size)
    left, top = (image.width - across) // 2, (image.height - down) // 2
    return np.asarray(image.crop((left, top, left + across, top + down)).convert("L"), np.float32)


def _blocks(values: Floats) -> Floats:
    """Return the mean of each block of 8 × 8."""
    height, width = (max(8, side // 8 * 8) for side in values.shape)
    values = np.resize(values, (height, width)) if min(values.shape) < 8 else values
    means: Floats = block_means(values, 8).ravel()
    return means
