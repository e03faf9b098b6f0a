"""Which of two pictures the other was made from, read off their pixels in a few milliseconds.

A frame, a canvas, a caption, a screenshot or another picture around is a change of what it holds;
a crop or a smaller size has lost something; larger without detail is an upscale; and of equals
the one that was greyed, blurred, clipped, flattened or made noisy is the copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]

_SIDE = 96  # pixels of the longer side, to find one picture in another
_SAME = 64  # pixels a side of the whole picture, squashed
_BANDS = 40  # of frequencies
_PATCH = 512  # pixels at full resolution whose spectrum is looked at
_NOISE = 10  # of grain: that of a noise of 3 grey levels
_STEEP = 0.195  # power above the size of an upscale's source against that below it
_SCALES = np.geomspace(0.97, 0.4, 16)  # of the part, in shares of the picture that holds it
_ALIKE, _FOUND = 0.97, 0.86  # correlation: of two whole pictures, of a part and its place


class Verdict(NamedTuple):
    """original: 0 or 1, which of two pictures it is. reason: what the other one is of it."""

    original: int
    reason: str


@dataclass(frozen=True, eq=False)
class Look:
    """What is remembered of a picture.

    size: width, height. grey: (h, w), at most `_SIDE`. whole: RGB, (S, S, 3). canvas: share of a
    flat border or of flat corners. power: of 40 bands of frequencies along rows and columns, the
    last one the finest, (2, 40). grain: grey levels that flat places vary by. sharp: as grain,
    everywhere. colour: what is left of it, in grey levels, once brightness is known: of a grey or
    sepia picture nothing.
    """

    size: tuple[int, int]
    grey: Floats
    whole: Floats
    canvas: float
    power: Floats
    grain: float
    sharp: float
    colour: float

    @classmethod
    def of(cls, image: Image.Image) -> Look:
        """Look at an upright RGB picture at its full resolution."""
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
        return cls(
            size=image.size,
            grey=np.asarray(image.convert("L").resize(small, Image.Resampling.BOX), np.float32),
            whole=whole,
            canvas=_canvas(np.asarray(image.resize((128, 128), Image.Resampling.NEAREST))),
            power=np.stack([_power(patch), _power(patch.T)]),
            grain=float(np.quantile(blocks, 0.1)),
            sharp=float(blocks.mean()),
            colour=_colour(whole),
        )

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]

    @property
    def detail(self) -> Floats:
        """By axis, the power of the finest fifth against that of the second."""
        fifth = _BANDS // 5
        detail: Floats = self.power[:, -fifth:].mean(1) / self.power[:, fifth : 2 * fifth].mean(1)
        return detail


def compare(one: Look, other: Look) -> Verdict | None:
    """Say which is the original; None where the pixels do not tell."""
    alike = _correlation(_grey(one.whole), _grey(other.whole))
    verdict = None
    if alike < _ALIKE:
        verdict = _canvas_verdict(one, other) or _part_verdict(one, other, alike)
    return verdict or _whole_verdict(one, other)


def _canvas_verdict(one: Look, other: Look) -> Verdict | None:
    """The one on a flat canvas, where the other fills all of its own, is the copy."""
    more, less = max(one.canvas, other.canvas), min(one.canvas, other.canvas)
    if more < 0.025 or less > 0.012:
        return None
    return Verdict(int(one.canvas > other.canvas), "on a frame or canvas")


def _part_verdict(one: Look, other: Look, alike: float) -> Verdict | None:
    """Find one whole picture in a part of the other, where it is much more alike than the whole."""
    found = [_found(one.grey, other.grey), _found(other.grey, one.grey)]
    holder = int(found[1].score > found[0].score)
    if found[holder].score < max(_FOUND, (1 + alike) / 2):
        return None
    goes_on = _goes_on((one, other)[holder].grey, found[holder])
    if goes_on:
        return Verdict(holder, "a crop")
    return Verdict(1 - holder, "with something around it")


def _whole_verdict(one: Look, other: Look) -> Verdict | None:
    """Compare two pictures of the same view."""
    turned = _upright(one, other)
    if turned is None:
        return None
    return (
        _size_verdict(one, other)
        or _overlay_verdict(one.whole, turned)
        or _tone_verdict(one, other, turned)
    )


def _size_verdict(one: Look, other: Look) -> Verdict | None:
    if 0.95 < one.pixels / other.pixels < 1.05:
        return None
    looks = one, other
    shapes = [look.size[0] / look.size[1] for look in looks]
    if not 0.97 < shapes[0] / shapes[1] < 1.03 and not 0.97 < shapes[0] * shapes[1] < 1.03:
        uneven = [abs(float(np.log(np.divide(*look.detail)))) for look in looks]
        return Verdict(int(uneven[1] < uneven[0]), "stretched")
    large = int(other.pixels > one.pixels)
    big, small = looks[large], looks[1 - large]
    if _falls(big.power, (small.pixels / big.pixels) ** 0.5):
        return Verdict(1 - large, "an upscale")
    return Verdict(large, "a smaller size")


def _overlay_verdict(one: Floats, other: Floats) -> Verdict | None:
    """Where a small part differs, the one whose edges run along that part has it laid over."""
    difference = np.abs(one - other).max(axis=2)
    mask = difference > 40
    if not 0.003 < mask.mean() < 0.45 or difference[~mask].mean() > 4:
        return None
    edge = np.zeros_like(mask)
    edge[1:] |= mask[1:] != mask[:-1]
    edge[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    strength = [_slope(_grey(picture))[edge].mean() for picture in (one, other)]
    if max(strength) < 1.15 * min(strength):
        return None
    return Verdict(int(strength[0] > strength[1]), "with something laid over it")


def _tone_verdict(one: Look, other: Look, turned: Floats) -> Verdict | None:
    """Compare colour, grain, sharpness, clipping and contrast."""
    looks = one, other

    def less(values: tuple[float, float], ratio: float) -> int | None:
        low = int(values[1] < values[0])
        return low if values[low] < ratio * values[1 - low] else None

    grain = one.grain - other.grain
    if abs(grain) > _NOISE and abs(grain) > 0.6 * abs(one.sharp - other.sharp):
        return Verdict(int(grain > 0), "with noise")
    pale = less((one.colour, other.colour), 0.45)
    if pale is not None and looks[1 - pale].colour > 3:
        return Verdict(1 - pale, "with less colour")
    spread = [float(_grey(look.whole).std()) + 1 for look in looks]
    soft = less((one.sharp / spread[0], other.sharp / spread[1]), 0.7)
    if soft is not None:
        return Verdict(1 - soft, "with less detail")
    clip = _clipped(one.whole, turned) - _clipped(turned, one.whole)
    if abs(clip) > 0.008:
        return Verdict(int(clip > 0), "with clipped tones")
    contrast = less((spread[0], spread[1]), 0.85)
    if contrast is not None:
        return Verdict(1 - contrast, "with less contrast")
    return None


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
    grey = _grey(whole).ravel()
    basis = np.stack([np.ones_like(grey), grey, grey**2 / 255], axis=1)
    tints = (whole[..., ::2] - whole[..., 1:2]).reshape(-1, 2)
    fit, *_ = np.linalg.lstsq(basis, tints, rcond=None)
    return float((tints - basis @ fit).std())


def _upright(one: Look, other: Look) -> Floats | None:
    """Return the other whole picture turned as the first one is; None if it is another picture."""
    views = [other.whole[::a, ::b] for a in (1, -1) for b in (1, -1)]
    views += [view.swapaxes(0, 1) for view in views]
    scores = [_correlation(_grey(one.whole), _grey(view)) for view in views]
    best = int(np.argmax(scores))
    return views[best] if scores[best] >= 0.6 else None


class _Place(NamedTuple):
    """Where a part was found: how well, and its box in pixels of the picture that holds it."""

    score: float
    left: int = 0
    top: int = 0
    width: int = 0
    height: int = 0


def _found(holder: Floats, part: Floats) -> _Place:
    """Look for all of one picture in the other, by correlation at many scales."""
    height, width = holder.shape
    shape = (2 * height, 2 * width)
    spectrum = np.fft.rfft2(holder, shape)
    best = _Place(-1.0)
    fit = min(width / part.shape[1], height / part.shape[0])
    for scale in _SCALES * fit:
        w, h = round(part.shape[1] * scale), round(part.shape[0] * scale)
        if min(w, h) < 16 or w > width or h > height or (w, h) == (width, height):
            continue
        small = np.asarray(Image.fromarray(part).resize((w, h), Image.Resampling.BOX))
        small = small - small.mean()
        product = np.fft.irfft2(spectrum * np.conj(np.fft.rfft2(small, shape)), shape)
        product = product[: height - h + 1, : width - w + 1]
        spread = _spread(holder, w, h)
        score = product / (np.sqrt((small**2).sum()) * np.sqrt(spread) + 1e-3)
        top, left = np.unravel_index(score.argmax(), score.shape)
        if score[top, left] > best.score:
            best = _Place(float(score[top, left]), int(left), int(top), w, h)
    return best


def _spread(image: Floats, width: int, height: int) -> Floats:
    """Return the sum of squared distances from the mean in each window."""

    def windows(values: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        below = total[height:] - total[:-height]
        sums: NDArray[np.float64] = below[:, width:] - below[:, :-width]
        return sums

    exact = image.astype(np.float64)
    spread = windows(exact**2) - windows(exact) ** 2 / (width * height)
    return np.maximum(spread, 1.0).astype(np.float32)


def _goes_on(image: Floats, place: _Place) -> bool:
    """Say whether the picture goes on beyond a box, or something else begins at its edges."""
    left, top = place.left, place.top
    right, bottom = left + place.width, top + place.height
    across: list[float] = []
    within: list[float] = []
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
    return not across or sum(across) > min(0.35 * len(across), 0.6 * sum(within))


def _line_likeness(inside: Floats, outside: Floats) -> float:
    if inside.std() < 4 and outside.std() < 4:
        return float(abs(inside.mean() - outside.mean()) < 12)
    return _correlation(inside, outside)


def _correlation(one: Floats, other: Floats) -> float:
    one, other = one - one.mean(), other - other.mean()
    norm = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / (norm + 1e-3)


def _grey(rgb: Floats) -> Floats:
    grey: Floats = rgb.mean(axis=-1)
    return grey


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
    cut = values[:height, :width]
    means: Floats = cut.reshape(height // 8, 8, width // 8, 8).mean(axis=(1, 3)).ravel()
    return means


def _power(patch: Floats) -> Floats:
    """Return the power of each band of frequencies along rows."""
    rows = patch[:: max(1, len(patch) // 128)]
    rows = (rows - rows.mean(axis=1, keepdims=True)) * np.hanning(rows.shape[1])
    power = (np.abs(np.fft.rfft(rows, axis=1)) ** 2).mean(axis=0)
    bands = np.array_split(np.resize(power, max(len(power), _BANDS)), _BANDS)
    return np.array([band.mean() for band in bands], np.float32) + np.float32(1e-3)


def _falls(power: Floats, scale: float) -> bool:
    """Say whether power falls steeply at a share of all frequencies, where a smaller size ended."""
    edge = scale * _BANDS
    below = power[:, round(0.7 * edge) : max(round(0.9 * edge), round(0.7 * edge) + 1)].mean(1)
    upto = min(max(round(1.4 * edge), round(1.1 * edge) + 1), _BANDS)
    above = power[:, min(round(1.1 * edge), _BANDS - 1) : upto].mean(1)
    return bool(np.sqrt((above / below).prod()) < _STEEP)


def _canvas(pixels: NDArray[np.uint8]) -> float:
    """Return the share of a border of one colour, or of flat corners, in a picture."""
    values = pixels.astype(np.int16)
    height, width = values.shape[:2]
    flat = np.zeros((height, width), np.bool_)
    for lines, marks in (
        (values, flat),
        (values[::-1], flat[::-1]),
        (values.swapaxes(0, 1), flat.T),
        (values.swapaxes(0, 1)[::-1], flat.T[::-1]),
    ):
        marks[: _band(lines)] = True
    for down in (slice(None), slice(None, None, -1)):
        for across in (slice(None), slice(None, None, -1)):
            corner, marks = values[down, across], flat[down, across]
            marks |= _corner(corner)
    return float(flat.mean())


def _band(lines: NDArray[np.int16]) -> int:
    """Return how many lines from the first on are all of one colour."""
    colour = np.median(lines[0], axis=0)
    plain = (np.abs(lines - colour).max(axis=2) < 10).mean(axis=1) > 0.97
    return 0 if plain.all() else int(plain.argmin())


def _corner(values: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Mark the triangle of black or white at the first corner, as of a turned canvas."""
    same = np.abs(values - values[0, 0]).max(axis=2) < 10
    extreme = values[0, 0].max() < 8 or values[0, 0].min() > 247
    run = same.argmin(axis=1)  # flat pixels from the edge on, row by row
    falls = extreme and not same.all() and run[0] > 2 and (np.diff(run[: len(run) // 4]) <= 1).all()
    marks = np.zeros(same.shape, np.bool_)
    if falls:
        marks = np.logical_and.accumulate(np.logical_and.accumulate(same, axis=1), axis=0)
    return marks
