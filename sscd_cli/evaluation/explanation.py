"""Which single edit best accounts for two images' likeness, by making it and embedding again.

Every edit of `candidates` is tried on either image, and crops are searched from coarse boxes to
fine ones. An edit explains a pair if with it the images are much nearer than as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sscd_cli.edits.candidates import (
    Candidate,
    Window,
    coarse_boxes,
    crop,
    edits_of,
    finer_boxes,
    pixels_of,
    shrink,
)
from sscd_cli.edits.named import RGBImage
from sscd_cli.evaluation.self_copies import Embed

SAME = 0.95  # similarity from which two images are the same picture as they are
LEAST = 0.85  # similarity that an edit must reach to explain a pair
LEFT_OVER = 0.4  # of the distance from 1 that it may leave

_STEPS = (0.12, 0.06, 0.03, 0.015)  # of a box, in shares of its side
_STARTS = 3  # boxes from which the search goes on
_SMALLEST = {True: 0.4, False: 0.7}  # side of a crop: of the larger image, of the smaller
_CERTAIN = 0.98  # similarity after which crops need not be searched

_PHRASES = {
    "nothing": "unchanged",
    "rescale": "rescaled {}",
    "recompression": "recompressed or changed as little",
    "flip": "flipped {}",
    "quarter turn": "turned {}",
    "crop": "cropped to {}",
    "grayscale": "in {}",
    "colour shift": "with other colours ({})",
    "blur": "blurred ({})",
    "border": "with a border ({})",
    "overlay": "overlaid or cleared at {}",
}


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one edit of `edited`, "A" or "B": the similarity to the other image.

    edit: "nothing" where none was made. detail: strength, for
    people. box: left, top, width, height of what is cut out or laid over, in pixels of `edited`.
    """

    edit: str
    detail: str
    edited: str
    similarity: float
    box: tuple[int, int, int, int] | None = None

    @property
    def strength(self) -> str:
        """What is known of it: the detail, and the box as WIDTH×HEIGHT+LEFT+TOP."""
        if self.box is None:
            return self.detail
        left, top, width, height = self.box
        return f"{width}×{height}+{left}+{top}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """similarity: as they are. trials: the best of each edit, the nearest first. verdict: that
    which explains the pair, None where none does.
    """

    similarity: float
    trials: tuple[Trial, ...]
    verdict: Trial | None

    def sentence(self, a: str = "A", b: str = "B") -> str:
        """Say it in a line, with names for the two images."""
        names = {"A": (a, b), "B": (b, a)}
        if self.verdict is None:
            best = self.trials[0]
            return f"no single edit explains it; nearest {best.edit}: {self._change(best)}"
        edited, made = names[self.verdict.edited]
        phrase = _PHRASES[self.verdict.edit].format(self.verdict.strength)
        return f"{made} is {edited}, {phrase}: {self._change(self.verdict)}"

    def _change(self, trial: Trial) -> str:
        if trial.similarity == self.similarity:
            return f"{self.similarity:.3f} as they are"
        return f"{self.similarity:.3f} → {trial.similarity:.3f}"


def explain(embed: Embed, left: RGBImage, right: RGBImage, *, side: int) -> Explanation:
    """Try every edit on both images, A (`left`) and B (`right`), the larger one first.

    Args: embed: images to float32 unit vectors (n, D). side: pixels that the network sees of the
        short side; images are shrunk to four times that before they are edited.
    Cost: 50 images embedded where an edit without a crop accounts for all, else 300 to 400.
    """
    images = {"A": left, "B": right}
    small = {name: shrink(image, 4 * side) for name, image in images.items()}
    descriptors = dict(zip(images, embed(list(small.values())), strict=True))
    as_they_are = min(1.0, float(descriptors["A"] @ descriptors["B"]))
    attempts = [
        _Attempt(embed, name, images[name], small[name], images[other], small[other], to)
        for name, other, to in (("A", "B", descriptors["B"]), ("B", "A", descriptors["A"]))
    ]
    attempts.sort(key=lambda attempt: -attempt.pixels)
    trials = [Trial("nothing", "", "A", as_they_are)]
    for attempt in attempts:
        trials += attempt.edits()
    if max(trial.similarity for trial in trials) < _CERTAIN:
        trials += _best_crop(attempts)
    verdict, ranked = _conclude(as_they_are, trials)
    if verdict is trials[0]:
        verdict = _untouched(left, right, as_they_are)
    return Explanation(as_they_are, ranked, verdict)


def _best_crop(attempts: list[_Attempt]) -> list[Trial]:
    """Search both images for a crop, from coarse boxes to fine ones in the more promising one."""
    coarse = [(attempt.coarse_crops(), attempt) for attempt in attempts]
    best, attempt = max(coarse, key=lambda found: found[0][:1])
    return attempt.finer_crops(best)


@dataclass(frozen=True, eq=False)
class _Attempt:
    """One image to be edited, the other one to be got, each as it is and small."""

    embed: Embed
    name: str
    source: RGBImage
    small_source: RGBImage
    target: RGBImage
    small_target: RGBImage
    wanted: NDArray[np.float32]

    @property
    def pixels(self) -> int:
        return self.source.width * self.source.height

    def edits(self) -> list[Trial]:
        """Try all but crops."""
        made = list(edits_of(self.small_source, self.small_target))
        similarity = self.embed([candidate.image for candidate in made]) @ self.wanted
        return [self._trial(c, s) for c, s in zip(made, similarity.tolist(), strict=True)]

    def coarse_crops(self) -> list[tuple[float, Window]]:
        """Try boxes all over the image; return them with their similarities, the best first."""
        is_larger = self.pixels >= self.target.width * self.target.height
        smallest = _SMALLEST[is_larger]
        return self._nearest(coarse_boxes(self.small_source, self.small_target, smallest))

    def finer_crops(self, best: list[tuple[float, Window]]) -> list[Trial]:
        """Go on from the best boxes in ever smaller steps; return the best of all."""
        best = best[:_STARTS]
        for step in _STEPS:
            around = [near for _, box in best for near in finer_boxes(box, step)]
            best = sorted(best + self._nearest(around), reverse=True)[:1]
        return [self._trial(crop(self.small_source, box), found) for found, box in best]

    def _nearest(self, boxes: list[Window]) -> list[tuple[float, Window]]:
        if not boxes:
            return []
        cut = [crop(self.small_source, box).image for box in boxes]
        similarity = (self.embed(cut) @ self.wanted).tolist()
        return sorted(zip(similarity, boxes, strict=True), reverse=True)

    def _trial(self, made: Candidate, similarity: float) -> Trial:
        box = pixels_of(made.box, self.source.size) if made.box else None
        return Trial(made.edit, made.detail, self.name, min(1.0, similarity), box)


def _untouched(left: RGBImage, right: RGBImage, similarity: float) -> Trial:
    """Name what sets two images apart that are near as they are: their size, or less."""
    if left.size != right.size:
        larger_is_left = left.width * left.height >= right.width * right.height
        large, little = (left, right) if larger_is_left else (right, left)
        across, down = little.width / large.width, little.height / large.height
        to = f"to {across:.0%}" if abs(across - down) < 0.01 else f"to {across:.0%} × {down:.0%}"
        return Trial("rescale", to, "A" if larger_is_left else "B", similarity)
    same = left.tobytes() == right.tobytes()
    return Trial("nothing" if same else "recompression", "", "A", similarity)


def _conclude(as_they_are: float, trials: list[Trial]) -> tuple[Trial | None, tuple[Trial, ...]]:
    """Return what explains the pair, and the best trial of each edit, the first among equals."""
    best: dict[str, Trial] = {}
    for trial in sorted(trials, key=lambda trial: -round(trial.similarity, 3)):
        best.setdefault(trial.edit, trial)
    ranked = tuple(best.values())
    left_over = 1 - ranked[0].similarity
    if ranked[0].similarity >= LEAST and left_over <= LEFT_OVER * (1 - as_they_are):
        return ranked[0], ranked
    return trials[0] if as_they_are >= SAME else None, ranked
