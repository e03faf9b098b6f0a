"""Which images of a dataset only their exact copies may stand for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sscd_cli.advice.animations import same_animations
from sscd_cli.descriptors.read import DescriptorSet
from sscd_cli.images.decode import LOW_CONTENT
from sscd_cli.matching.copies import Copies
from sscd_cli.matching.doubts import (
    Doubts,
    Resemblance,
    crowded,
    crowded_between,
    exact_copies,
    exact_copies_between,
    random_rows,
    resemblance,
)
from sscd_cli.matching.join import Bias, Pairs
from sscd_cli.matching.products import Indices


@dataclass(frozen=True, eq=False)
class RowDoubts:
    """What is doubted in a dataset of N images.

    pairs: which of the pairs are only to be looked at. low: bool (N,), images that are compared
    with their exact copies only. crowd: bool (N,), those with too many look-alikes.
    """

    pairs: Doubts
    low: NDArray[np.bool_]
    crowd: NDArray[np.bool_]

    @property
    def low_twins(self) -> NDArray[np.bool_]:
        """bool (N,): those of `low` with an exact copy."""
        _, number, count = np.unique(self.pairs.exact, return_inverse=True, return_counts=True)
        twins: NDArray[np.bool_] = self.low & (count[number] > 1)
        return twins


def find_doubts(
    stored: DescriptorSet,
    copies: Copies,
    alike: Resemblance,
    threshold: float,
    sure_from: float,
    *,
    low_content: bool,
    second_look: bool,
    believed: bool,
) -> RowDoubts:
    """Doubt what has more than one frame, and, unless told to believe, what resembles too many.

    Args: alike: how alike random images of these are. sure_from: see `sure_from`. low_content:
        whether images with next to nothing in them count as others do. second_look: look at the
        frames of animations, too.
    """
    low = empty_images(stored, low_content)
    crowd = np.zeros(len(stored), np.bool_)
    if not believed:
        crowd |= crowded(copies, threshold, ~low, stored.descriptors, alike)
    several = stored.columns["frames"] > 1
    exact = exact_copies(stored.columns)
    if second_look:
        exact = same_animations(stored, copies, threshold, exact, several & ~crowd)
    pairs = Doubts(sure_from, crowd | several, exact)
    return RowDoubts(pairs, low, crowd & ~low)


@dataclass(frozen=True, eq=False)
class MatchDoubts:
    """What is doubted of the pairs between two datasets; each array has one for ours and theirs.

    threshold: what is found. sure_from: see `sure_from`. exact: int64, images of one number hold
    the same picture. low_content: bool, next to nothing is in them. several: bool, there are more
    frames than the one that was compared.
    """

    threshold: float
    sure_from: float
    alike: Resemblance
    believed: bool
    exact: tuple[Indices, Indices]
    low_content: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    several: tuple[NDArray[np.bool_], NDArray[np.bool_]]

    @classmethod
    def between(
        cls,
        ours: DescriptorSet,
        theirs: DescriptorSet,
        threshold: float,
        bias: Bias | None,
        *,
        sure_from: float,
        low_content: bool,
        believed: bool,
    ) -> MatchDoubts:
        some, others = (random_rows(np.arange(len(side))) for side in (ours, theirs))
        lowered = None if bias is None else bias[some]
        sample = theirs.descriptors[others]
        return cls(
            threshold=threshold,
            sure_from=sure_from,
            alike=resemblance(ours.descriptors[some], threshold, lowered, sample),
            believed=believed,
            exact=exact_copies_between(ours.columns, theirs.columns),
            low_content=(empty_images(ours, low_content), empty_images(theirs, low_content)),
            several=(ours.columns["frames"] > 1, theirs.columns["frames"] > 1),
        )

    def crowd(self, pairs: Pairs) -> NDArray[np.bool_]:
        """Return the pairs of what too much resembles, where no threshold tells a copy."""
        if self.believed or not self.alike.tells_nothing:
            return np.zeros(len(pairs), np.bool_)
        return crowded_between(pairs, self.threshold, self.exact, self.alike)

    def low(self, pairs: Pairs) -> NDArray[np.bool_]:
        """Return the pairs of images with next to nothing in them that are no exact copies."""
        ours, theirs = self.low_content
        return (ours[pairs.left] | theirs[pairs.right]) & ~self._exact(pairs)

    def with_content(self, pairs: Pairs) -> Pairs:
        """Leave those out."""
        return pairs.chosen(~self.low(pairs))

    def sure(self, pairs: Pairs, crowd_P: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the pairs that are copies; the others, those of `crowd`, too, are to be looked at.

        But for exact copies, which are beyond doubt.
        """
        ours, theirs = self.several
        sure = pairs.similarity >= np.float32(self.sure_from)
        sure &= ~ours[pairs.left] & ~theirs[pairs.right] & ~crowd_P
        return sure | self._exact(pairs)

    def _exact(self, pairs: Pairs) -> NDArray[np.bool_]:
        ours, theirs = self.exact
        same: NDArray[np.bool_] = ours[pairs.left] == theirs[pairs.right]
        return same


def empty_images(stored: DescriptorSet, count: bool) -> NDArray[np.bool_]:
    """Return the images with next to nothing in them, bool (N,), unless they count as others do."""
    content = stored.columns["content"]
    return (content >= 0) & (content < LOW_CONTENT) & (not count)
