"""Which of two pictures of one view was coded from the other.

What a JPEG file holds is other pixels, quantised. Those pixels, quantised again in the same way,
give what the file holds; what was made from the file later does not, for the loss is not undone.
So each picture gets the tones of the other one and is coded as the other's file is: only the
original comes out as its copy does. Where something is laid over, the blocks beside it tell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sscd_cli.advice.pixels.alignment import Floats, View
from sscd_cli.advice.pixels.filters import block_means, grey_of
from sscd_cli.advice.pixels.grid import holds_grid
from sscd_cli.advice.pixels.tones import Pixels, toned
from sscd_cli.images.coding import Coding

_SIDE = 768  # pixels, at most, of a picture that are remembered
_COMPARED = 208  # of them that are compared
_LEAST = 64  # pixels, at least
_GRID = 16  # pixels: a block of a JPEG file, with its colours at half the size
_CLEAR = ((0.75, 0.75), (1.0, 0.5))  # misses of the likelier, and as shares of the other's
_BOTH = 0.95  # misses of both, where the finer file holds all that the coarser one does
_SURE = 0.6  # the same, where only one of the two files can be tried
_ON_GRID = 0.45  # of the usual loss: less than this apart is what was made from the file
_HELD = 0.75  # of the usual loss: what loses less, in the file's tones, was on its grid before
_AGAIN, _OFF_GRID = 0.05, 0.5  # misses of what comes out just so; of the usual loss, at least
_SETTLED = 0.4  # of the usual loss: less than this each coding changes of what is on its grid
_REMADE = 0.4  # of what there was before: what is left where the one was made from the other
_EXACT = 0.3  # as misses: of what has the very tones
_FEWEST, _SPREAD = 12, 4.0  # blocks that hold something; squared grey levels of such a block
_DIFFERING = 3  # of them, that are not the same in both: only these tell
_RESAMPLING = (
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
    Image.Resampling.NEAREST,
)


@dataclass(frozen=True, eq=False)
class CodedPart:
    """The middle of a picture: pixels, (h, w, 3), where they begin, and the size of all of it.

    blocky: its file has blocks of its own, which look like the grid of another one.
    """

    pixels: Pixels
    left: int
    top: int
    size: tuple[int, int]
    coding: Coding | None = None
    blocky: bool = False

    @classmethod
    def of(
        cls, image: Image.Image, coding: Coding | None = None, *, blocky: bool = False
    ) -> CodedPart:
        """Cut it from an RGB picture, on the grid of its file."""
        across, down = (min(side, _SIDE) for side in image.size)
        left, top = (image.width - across) // 2, (image.height - down) // 2
        left, top = left - left % _GRID, top - top % _GRID
        cut = image.crop((left, top, left + across, top + down))
        return cls(np.asarray(cut), left, top, image.size, coding, blocky)

    @property
    def coarseness(self) -> int:
        """How coarsely its file quantises, 0 where it does not."""
        return 0 if self.coding is None else sum(map(sum, self.coding.tables))

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    def turned(self, view: View) -> CodedPart:
        """Return the same part of the turned picture."""
        left, top, size = self.left, self.top, self.size
        left = left if view.across > 0 else size[0] - left - self.width
        top = top if view.down > 0 else size[1] - top - self.height
        if view.swapped:
            left, top, size = top, left, size[::-1]
        return CodedPart(view.of(self.pixels), left, top, size)

    def moved(self, by: tuple[int, int], size: tuple[int, int]) -> CodedPart:
        """Return the same part as one of a picture of a size, in which this one begins at `by`."""
        return CodedPart(self.pixels, self.left + by[0], self.top + by[1], size)

    def cut(self, at: tuple[int, int], side: int) -> CodedPart:
        """Return what lies in a square of the picture, as far as it is here."""
        left, top = max(self.left, at[0]), max(self.top, at[1])
        right, bottom = at[0] + side, at[1] + side
        inner = self.pixels[
            top - self.top : max(0, bottom - self.top), left - self.left : max(0, right - self.left)
        ]
        return CodedPart(inner, left, top, self.size)

    def common(self, other: CodedPart, most: int = _COMPARED) -> tuple[Pixels, Pixels] | None:
        """Return what both show, on the grid of this one; None where it is too little.

        most: pixels a side, at most.
        """
        if self.size != other.size:
            return None
        spans = []
        for mine, theirs in (
            ((self.top, self.height), (other.top, other.height)),
            ((self.left, self.width), (other.left, other.width)),
        ):
            begin, end = max(mine[0], theirs[0]), min(sum(mine), sum(theirs))
            begin = max(begin, (begin + end - most) // 2)
            begin, end = -(-begin // _GRID) * _GRID, end // _GRID * _GRID
            end = min(end, begin + most)
            if end - begin < _LEAST:
                return None
            spans.append(
                (slice(begin - mine[0], end - mine[0]), slice(begin - theirs[0], end - theirs[0]))
            )
        (rows, their_rows), (columns, their_columns) = spans
        return self.pixels[rows, columns], other.pixels[their_rows, their_columns]


def scaled(source: CodedPart, target: CodedPart) -> CodedPart:
    """Return the middle of one picture at the size of another one, in the way most like it.

    Nothing where both show too little of it.
    """
    spans = []
    for axis in (0, 1):
        scale = target.size[axis] / source.size[axis]
        begins, long = (source.left, source.top)[axis], (source.width, source.height)[axis]
        first, most = (target.left, target.top)[axis], (target.width, target.height)[axis]
        begin = max(first, math.ceil(begins * scale) + 2)
        end = min(first + most, math.floor((begins + long) * scale) - 2)
        begin = max(begin, (begin + end - _COMPARED) // 2 - _GRID)
        end = min(end, begin + _COMPARED + 2 * _GRID)
        if end - begin < _LEAST:
            return CodedPart(source.pixels[:0, :0], begin, begin, target.size)
        spans.append((begin, end, begin / scale - begins, end / scale - begins))
    (left, right, *across), (top, bottom, *down) = spans
    box = (across[0], down[0], across[1], down[1])
    image = Image.fromarray(source.pixels)
    seen = target.pixels[top - target.top : bottom - target.top, left - target.left :][
        :, : right - left
    ]
    best, least = source.pixels[:1, :1], math.inf
    for how in _RESAMPLING:
        made = np.asarray(image.resize((right - left, bottom - top), how, box=box))
        apart = float(np.abs(made.astype(np.int16) - seen).mean())
        if apart < least:
            best, least = made, apart
    return CodedPart(best, left, top, target.size)


def first_of(
    one: CodedPart, other: CodedPart, other_in_one: CodedPart, one_in_other: CodedPart
) -> int | None:
    """Return which of two pictures the other was coded from, 0 or 1; None where nothing tells.

    other_in_one: the other one turned, moved or scaled to lie over the first one; one_in_other:
    the first over the other.
    """
    others, ones = _Trace.of(other, one_in_other), _Trace.of(one, other_in_one)
    if ones is None:
        first = None if others is None else _first_by(others, 0, other, one_in_other)
        return None if first == 1 and one.blocky else first
    if others is None:
        first = _first_by(ones, 1, one, other_in_one)
        return None if first == 0 and other.blocky else first
    if others.is_exact != ones.is_exact:
        return int(ones.is_exact)
    remade = _remade(others, ones)
    if remade is not None or max(others.moved, ones.moved) < _SETTLED:
        return remade
    misses = others.misses, ones.misses
    coarser, finer = (others, ones) if other.coarseness > one.coarseness else (ones, others)
    is_held = coarser.moved < max(finer.moved, _ON_GRID)
    if max(misses) < _BOTH and one.coarseness != other.coarseness and is_held:
        return int(coarser is others)  # it alone could be made again from both
    likely = int(misses[1] < misses[0])
    share = misses[likely] / max(misses[1 - likely], 1e-6)
    is_clear = any(misses[likely] < most and share < less for most, less in _CLEAR)
    return likely if is_clear else None


def _remade(others: _Trace, ones: _Trace) -> int | None:
    """Return the one from which alone the other comes out nearly just so.

    Of two that are on the grid of each other, as what was turned by whole blocks is, nothing else
    tells.
    """
    still = others.still, ones.still
    likely = int(still[1] < still[0])
    return likely if still[likely] < min(_REMADE, still[1 - likely] / 2) else None


def _first_by(trace: _Trace, source: int, coded: CodedPart, laid_over: CodedPart) -> int | None:
    """Tell by the one of two files that can be made again; source: the number of the other."""
    if trace.is_on_grid and not trace.is_exact:
        return 1 - source
    if trace.misses < _SURE:
        return source
    return 1 - source if _holds_grid(coded, laid_over) else None


def _holds_grid(coded: CodedPart, laid_over: CodedPart) -> bool:
    """Say whether a picture has traces of the grid of a JPEG file, over which it was laid."""
    common = coded.common(laid_over, _SIDE)
    return common is not None and holds_grid(common[1])


@dataclass(frozen=True)
class _Trace:
    """What happens as a file is made again from another picture.

    In grey levels, medians over the blocks that hold something and differ: what is left between
    both; what the coding changes; what there was between them before; and what the coding usually
    changes. still: what is left in all of them, as a share of what there was.
    """

    left: float
    loss: float
    before: float
    usual: float
    still: float

    @classmethod
    def of(cls, copy: CodedPart, source: CodedPart) -> _Trace | None:
        """Try to make the copy; None where its file is no JPEG file, or they show too little."""
        common = copy.common(source)
        if copy.coding is None or common is None:
            return None
        wanted, given = common
        rich = _rich(wanted) & _rich(given)
        if rich.sum() < _FEWEST:
            return None
        differs = rich & (_apart(wanted, given) > 0)
        rich = differs if differs.sum() >= _DIFFERING else rich
        trace = cls._from(copy.coding, wanted, given, rich)
        if trace.misses < _EXACT:
            return trace
        same = toned(given, wanted, copy.coding.coded)
        return cls._from(copy.coding, wanted, same, rich)

    @classmethod
    def _from(
        cls, coding: Coding, wanted: Pixels, given: Pixels, rich: NDArray[np.bool_]
    ) -> _Trace:
        made = coding.coded(given)
        apart = ((made, wanted), (made, given), (given, wanted))
        blocks = [_apart(*pair)[rich] for pair in apart]
        left, loss, before = (float(np.median(block)) for block in blocks)
        still = float(blocks[0].sum()) / (float(blocks[2].sum()) + 1e-6)
        return cls(left, loss, before, _usual_loss(coding, wanted), still)

    @property
    def misses(self) -> float:
        return self.left / (min(self.loss, self.usual or self.loss) + 0.02)

    @property
    def moved(self) -> float:
        """How much the coding changes the source, as a share of what it usually changes."""
        return self.loss / max(self.usual, 1e-6)

    @property
    def is_on_grid(self) -> bool:
        """Whether the source is on the file's own grid, which only what comes from it can be."""
        is_held = self.misses < 1 and self.moved < _HELD
        return is_held or self.before < _ON_GRID * self.usual

    @property
    def is_exact(self) -> bool:
        """Whether the file comes out just so from a source that was not on its grid before."""
        return self.misses < _AGAIN and self.moved >= _OFF_GRID


def _usual_loss(coding: Coding, pixels: Pixels) -> float:
    """Return what a coding changes of pixels off the grid on which it was used."""
    shifted = np.ascontiguousarray(pixels[5:-11, 5:-11])
    rich = _rich(shifted)
    return float(np.median(_apart(coding.coded(shifted), shifted)[rich])) if rich.any() else 0.0


def _apart(one: Pixels, other: Pixels) -> Floats:
    """Return the mean difference of each block."""
    return grey_of(block_means(cv2.absdiff(one, other), _GRID)).ravel()


def _rich(pixels: Pixels) -> NDArray[np.bool_]:
    """Return which blocks hold more than most of them do, and more than nearly nothing."""
    grey = grey_of(pixels)
    spread = (block_means(grey**2, _GRID) - block_means(grey, _GRID) ** 2).ravel()
    rich: NDArray[np.bool_] = (spread >= np.median(spread)) & (spread > _SPREAD)
    return rich
