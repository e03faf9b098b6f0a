"""Make copies of photographs, search them among the originals, and count what is found.

Legend of shapes: N originals, M distractors, R = N + M references, Q queries (the copies),
K scores kept for each query, D dimensions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sscd_cli.evaluation import metrics
from sscd_cli.evaluation.edits import EDITS, Edit, RGBImage

Floats = NDArray[np.float32]
Embed = Callable[[Sequence[RGBImage]], Floats]
Progress = Callable[[int], None]

_IMAGES_AT_ONCE = 32
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class EditScore:
    """What was found of the copies that one edit, or a group of edits, made.

    recall is that at the report's threshold; strength is empty where several are pooled.
    """

    edit: str
    strength: str
    mild: bool
    copies: int
    recall: float
    micro_ap: float
    accuracy_at_1: float


@dataclass(frozen=True, eq=False)
class CopiesReport:
    """The scores of every copy, from which each figure follows.

    edits: what made the copies; edit_of: the index into it of each query's edit, (Q,).
    scores: float32 (Q, K), the K largest similarities of each query, -inf where there were fewer;
    is_match: bool (Q, K), true where the reference is the query's original; at most one in a row.
    originals: their descriptors, float32 (N, D). references: originals and distractors.
    """

    edits: tuple[Edit, ...]
    edit_of: NDArray[np.int64]
    scores: Floats
    is_match: NDArray[np.bool_]
    originals: Floats
    references: int
    precision: float

    @cached_property
    def micro_ap(self) -> float:
        """µAP over all copies in one ranking."""
        return self._micro_ap(np.ones(self.edit_of.size, dtype=bool))

    @cached_property
    def operating_point(self) -> tuple[float, float]:
        """Recall over all copies and threshold where precision first is what was asked for."""
        return metrics.recall_at_precision(*self._pool(slice(None)), precision=self.precision)

    @property
    def recall(self) -> float:
        return self.operating_point[0]

    @property
    def threshold(self) -> float:
        """The lowest similarity at which the pooled precision holds; infinity where none does."""
        return self.operating_point[1]

    @cached_property
    def rows(self) -> tuple[EditScore, ...]:
        """One score for each edit and strength, in the order of the edits."""
        return tuple(
            self._score(edit.name, edit.strength, edit.mild, self.edit_of == index)
            for index, edit in enumerate(self.edits)
        )

    @cached_property
    def by_name(self) -> tuple[EditScore, ...]:
        """One score for each edit, its strengths pooled; mild where all of them are."""
        return tuple(self._by_name(name) for name in dict.fromkeys(e.name for e in self.edits))

    @cached_property
    def total(self) -> EditScore:
        """The score of all edits pooled."""
        return self._score("all", "", False, np.ones(self.edit_of.size, dtype=bool))

    def micro_ap_over(self, edits: Collection[Edit]) -> float:
        """Return µAP over the copies of some edits. Raises ValueError where none was made."""
        return self._micro_ap(self._made_by([edit in edits for edit in self.edits]))

    def recall_at(self, threshold: float) -> float:
        """Return the share of all copies found at or above `threshold`."""
        return float(self._found(threshold).mean())

    def false_pairs_per_1000(self, threshold: float) -> float:
        """Return how many pairs of different originals reach `threshold`, for 1,000 originals.

        Near-identical scenes count, and so do true duplicates among the originals: look at them
        before you blame the detector. Takes time that grows with N², memory that does not.
        """
        count, pairs = len(self.originals), 0
        for start in range(0, count, _ROWS_AT_ONCE):
            block = self.originals[start : start + _ROWS_AT_ONCE]
            close = block @ self.originals[start:].T >= threshold
            pairs += int(np.triu(close, 1).sum())
        return 1000 * pairs / count

    def _by_name(self, name: str) -> EditScore:
        of_name = [edit.name == name for edit in self.edits]
        mild = all(edit.mild for edit in self.edits if edit.name == name)
        return self._score(name, "", mild, self._made_by(of_name))

    def _made_by(self, wanted: Sequence[bool]) -> NDArray[np.bool_]:
        made: NDArray[np.bool_] = np.asarray(wanted, dtype=bool)[self.edit_of]
        return made

    def _score(self, name: str, strength: str, mild: bool, of_Q: NDArray[np.bool_]) -> EditScore:
        first = self.is_match[of_Q, 0]
        return EditScore(
            name,
            strength,
            mild,
            copies=int(of_Q.sum()),
            recall=float(self._found(self.threshold)[of_Q].mean()),
            micro_ap=self._micro_ap(of_Q),
            accuracy_at_1=float(first.mean()),
        )

    def _found(self, threshold: float) -> NDArray[np.bool_]:
        found = self.is_match & (self.scores >= threshold)
        return np.asarray(found.any(axis=1), dtype=bool)

    def _micro_ap(self, of_Q: NDArray[np.bool_]) -> float:
        return metrics.micro_average_precision(*self._pool(of_Q))

    def _pool(self, of_Q: NDArray[np.bool_] | slice) -> tuple[Floats, NDArray[np.bool_], int]:
        scores, is_match = self.scores[of_Q], self.is_match[of_Q]
        real = np.isfinite(scores)
        return scores[real], is_match[real], len(scores)


def evaluate_copies(
    embed: Embed,
    originals: Sequence[RGBImage],
    distractors: Sequence[RGBImage] = (),
    *,
    edits: Sequence[Edit] = EDITS,
    seed: int = 0,
    keep: int = 10,
    precision: float = 0.9,
    progress: Progress | None = None,
) -> CopiesReport:
    """Make a copy of every original by every edit and search it among all originals and more.

    Each query keeps its `keep` nearest references by exact cosine, as in the image similarity
    challenge; among equals its original comes last. A photograph that an edit borrows (the
    frame around a picture in picture) is neither right nor wrong and leaves that query's list.
    A copy depends on the seed, its edit and its original's place alone.

    Args: embed: images to float32 unit vectors (n, D), any n >= 1. originals, distractors: RGB
        images, read by index a few at a time, so that a lazy sequence keeps memory flat; beside
        them stay the references' descriptors and 4·Q·keep bytes. progress: called with the
        number of images just embedded; in all N·(1 + edits) + M.
    Raises: ValueError: fewer than two originals, no edits, `keep` < 1, or `embed` returned
        something else than finite unit vectors.
    """
    if len(originals) < 2 or not edits or keep < 1:
        raise ValueError(
            f"{len(originals)} originals, {len(edits)} edits, keep {keep}: two originals, "
            "one edit and keep 1 are the least"
        )
    watched = _watched(embed, progress)
    references_RD = _embed_all(watched, originals)
    if len(distractors):
        references_RD = np.concatenate([references_RD, _embed_all(watched, distractors)])
    blocks = [
        _search(copies, watched, references_RD, keep)
        for copies in _make_copies(originals, edits, seed)
    ]
    edit_Q, scores_QK, is_match_QK = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return CopiesReport(
        edits=tuple(edits),
        edit_of=edit_Q,
        scores=scores_QK,
        is_match=is_match_QK,
        originals=references_RD[: len(originals)],
        references=len(references_RD),
        precision=precision,
    )


@dataclass(frozen=True)
class _Copies:
    """Some copies: `edit`, `original` and `borrowed` (-1: none) are indices, one for each."""

    images: list[RGBImage]
    edit: list[int]
    original: list[int]
    borrowed: list[int]


def _make_copies(
    originals: Sequence[RGBImage], edits: Sequence[Edit], seed: int
) -> Iterator[_Copies]:
    """Yield the copies of one original after the other."""
    for index in range(len(originals)):
        image, made = originals[index], _Copies([], [], [], [])
        draw = random.Random(f"{seed}/{index}")
        borrowed = (index + draw.randrange(1, len(originals))) % len(originals)
        other = originals[borrowed]
        for place, edit in enumerate(edits):
            rng = random.Random(f"{seed}/{index}/{edit.name}/{edit.strength}")
            made.images.append(edit.apply(image, rng, other))
            made.edit.append(place)
            made.original.append(index)
            made.borrowed.append(borrowed if edit.borrows else -1)
        yield made


def _search(
    copies: _Copies, embed: Embed, references_RD: Floats, keep: int
) -> tuple[NDArray[np.int64], Floats, NDArray[np.bool_]]:
    queries_QD = _embed_all(embed, copies.images)
    similarity_QR = queries_QD @ references_RD.T
    rows, borrowed = np.arange(len(queries_QD)), np.array(copies.borrowed)
    similarity_QR[rows[borrowed >= 0], borrowed[borrowed >= 0]] = -np.inf
    scores_QK, is_match_QK = _nearest(similarity_QR, np.array(copies.original), keep)
    return np.array(copies.edit, dtype=np.int64), scores_QK, is_match_QK


def _nearest(
    similarity_QR: Floats, original_Q: NDArray[np.int64], keep: int
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the `keep` largest of each row, falling, and where the original's is among them.

    The original comes after all that are equally near. Overwrites `similarity_QR`.
    """
    rows = np.arange(len(similarity_QR))
    true_Q = similarity_QR[rows, original_Q]
    similarity_QR[rows, original_Q] = -np.inf
    keep = min(keep, similarity_QR.shape[1])
    others_QK = -np.sort(np.partition(-similarity_QR, keep - 1, axis=1)[:, :keep], axis=1)
    rank_Q = (others_QK >= true_Q[:, None]).sum(axis=1)
    scores_QK = np.where(np.arange(keep) < rank_Q[:, None], others_QK, np.roll(others_QK, 1, 1))
    is_match_QK = np.arange(keep) == rank_Q[:, None]
    scores_QK[is_match_QK] = true_Q[rank_Q < keep]
    return scores_QK, is_match_QK


def _embed_all(embed: Embed, images: Sequence[RGBImage]) -> Floats:
    """Return the descriptors of all images, a few of them in memory at a time."""
    starts = range(0, len(images), _IMAGES_AT_ONCE)
    chunks = ([images[i] for i in range(s, min(s + _IMAGES_AT_ONCE, len(images)))] for s in starts)
    return np.concatenate([embed(chunk) for chunk in chunks])


def _watched(embed: Embed, progress: Progress | None) -> Embed:
    """Return `embed` with its result checked and `progress` told."""

    def run(images: Sequence[RGBImage]) -> Floats:
        descriptors = np.asarray(embed(images), dtype=np.float32)
        if descriptors.ndim != 2 or len(descriptors) != len(images):
            raise ValueError(f"{len(images)} images became an array {descriptors.shape}")
        lengths = np.linalg.norm(descriptors, axis=1)
        if not np.allclose(lengths, 1, atol=1e-2):
            raise ValueError(
                f"descriptors are no unit vectors: lengths {lengths.min():.3g} to "
                f"{lengths.max():.3g}"
            )
        if progress:
            progress(len(images))
        return descriptors

    return run
