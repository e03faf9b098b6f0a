"""Make copies of photographs and search them among the originals.

Legend of shapes: N originals, M distractors, R = N + M references, Q queries (the copies),
K scores kept for each query, D dimensions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.edits.named import EDITS, Edit, RGBImage
from sscd_cli.evaluation.copies_report import CopiesReport, Floats

Embed = Callable[[Sequence[RGBImage]], Floats]
BiasOf = Callable[[Floats], Floats | None]
ImagesDone = Callable[[int], None]
Each = Callable[[Callable[[int], Any], Iterable[int]], Iterable[Any]]

_IMAGES_AT_ONCE = 8
# that each core has at their full size: beside these an original, another that an edit borrows,
# and what an edit makes on its way
IMAGES_HELD = _IMAGES_AT_ONCE + 4


def _no_bias(rows: Floats) -> None:
    return None


def evaluate_copies(
    embed: Embed,
    originals: Sequence[RGBImage],
    distractors: Sequence[RGBImage] = (),
    *,
    edits: Sequence[Edit] = EDITS,
    seed: int = 0,
    keep: int = 10,
    precision: float = 0.9,
    progress: ImagesDone | None = None,
    bias: BiasOf = _no_bias,
    each: Each = map,
) -> CopiesReport:
    """Make a copy of every original by every edit and search it among all originals and more.

    Each query keeps its `keep` nearest references by exact cosine, as in the image similarity
    challenge; among equals its original comes last. A photograph that an edit borrows (the
    frame around a picture in picture) is neither right nor wrong and leaves that query's list.
    A copy depends on the seed, its edit and its original's place alone.

    Args: embed: images to float32 unit vectors (n, D), any n >= 1. originals, distractors: RGB
        images, read by index a few at a time, so that a lazy sequence keeps memory flat; beside
        them stay the references' descriptors and 5·Q·keep bytes. progress: called with the
        number of images just embedded; in all N·(1 + edits) + M. bias: what to subtract from the
        scores of each query, float32 (Q,), given the queries' descriptors. each: `map`, or what
        does the same on several cores.
    Raises: ValueError: fewer than two originals, no edits, `keep` < 1, or `embed` returned
        something else than finite unit vectors.
    """
    if len(originals) < 2 or not edits or keep < 1:
        raise ValueError(
            f"{len(originals)} originals, {len(edits)} edits, keep {keep}: two originals, "
            "one edit and keep 1 are the least"
        )
    own = np.concatenate([*_embed_all(embed, originals, each, progress)])
    references = np.concatenate([own, *_embed_all(embed, distractors, each, progress)])
    found = [
        _search(copies, references, keep, bias(copies.descriptors))
        for copies in _copies_of_all(embed, originals, edits, seed, each, progress)
    ]
    scores, is_match = zip(*found, strict=True)
    return CopiesReport(
        edits=tuple(edits),
        edit_of=np.tile(np.arange(len(edits)), len(originals)),
        scores=np.concatenate(scores),
        is_match=np.concatenate(is_match),
        originals=own,
        references=len(references),
        precision=precision,
        bias=bias(own),
    )


def copy_similarities(
    embed: Embed,
    originals: Sequence[RGBImage],
    descriptors_ND: Floats,
    *,
    edits: Sequence[Edit] = EDITS,
    seed: int = 0,
    bias: BiasOf = _no_bias,
    progress: ImagesDone | None = None,
    each: Each = map,
) -> Floats:
    """Make a copy of every original by every edit; return their similarities, float32 (N, edits).

    Args: descriptors_ND: of the originals, unit vectors. bias: the mean of what it gives for both
        is subtracted. Everything else, and the copies, are as in `evaluate_copies`.
    Raises: ValueError: fewer than two originals.
    """
    if len(originals) < 2:
        raise ValueError(f"{len(originals)} originals: two are the least")
    rows = []
    made = _copies_of_all(embed, originals, edits, seed, each, progress)
    for copies, original_D in zip(made, descriptors_ND, strict=True):
        copies_ED = copies.descriptors
        both = bias(np.vstack([original_D, copies_ED]))
        taken = 0.0 if both is None else (both[0] + both[1:]) / 2
        rows.append(copies_ED @ original_D - taken)
    return np.stack(rows)


@dataclass(frozen=True)
class _Copies:
    """The copies of one original: by each edit one, in their order, and whose borrows another.

    original, borrowed: by number. borrows: bool (edits,). descriptors: (edits, D).
    """

    original: int
    borrowed: int
    borrows: NDArray[np.bool_]
    descriptors: Floats


def _copies_of_all(
    embed: Embed,
    originals: Sequence[RGBImage],
    edits: Sequence[Edit],
    seed: int,
    each: Each,
    progress: ImagesDone | None,
) -> Iterator[_Copies]:
    """Yield the copies of one original after the other."""
    borrows = np.array([edit.borrows for edit in edits])

    def copies_of(index: int) -> _Copies:
        draw = random.Random(f"{seed}/{index}")
        borrowed = (index + draw.randrange(1, len(originals))) % len(originals)
        image, other = originals[index], originals[borrowed]
        names = (f"{seed}/{index}/{edit.name}/{edit.strength}" for edit in edits)
        made = (
            edit.apply(image, random.Random(name), other)
            for edit, name in zip(edits, names, strict=True)
        )
        parts = []
        while some := list(islice(made, _IMAGES_AT_ONCE)):
            parts.append(_checked(embed(some), len(some)))
        return _Copies(index, borrowed, borrows, np.concatenate(parts))

    for copies in each(copies_of, range(len(originals))):
        if progress:
            progress(len(edits))
        yield copies


def _search(
    copies: _Copies, references_RD: Floats, keep: int, bias_Q: Floats | None
) -> tuple[Floats, NDArray[np.bool_]]:
    similarity_QR = copies.descriptors @ references_RD.T
    similarity_QR[copies.borrows, copies.borrowed] = -np.inf
    original_Q = np.full(len(similarity_QR), copies.original)
    scores_QK, is_match_QK = _nearest(similarity_QR, original_Q, keep)
    return scores_QK if bias_Q is None else scores_QK - bias_Q[:, None], is_match_QK


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


def _embed_all(
    embed: Embed, images: Sequence[RGBImage], each: Each, progress: ImagesDone | None
) -> Iterator[Floats]:
    """Yield the descriptors of all images in their order, a few images in memory at a time."""

    def embedded(start: int) -> Floats:
        some = range(start, min(start + _IMAGES_AT_ONCE, len(images)))
        return _checked(embed([images[i] for i in some]), len(some))

    for part in each(embedded, range(0, len(images), _IMAGES_AT_ONCE)):
        if progress:
            progress(len(part))
        yield part


def _checked(descriptors: Floats, images: int) -> Floats:
    descriptors = np.asarray(descriptors, dtype=np.float32)
    if descriptors.ndim != 2 or len(descriptors) != images:
        raise ValueError(f"{images} images became an array {descriptors.shape}")
    lengths = np.linalg.norm(descriptors, axis=1)
    if not np.allclose(lengths, 1, atol=1e-2):
        low, high = lengths.min(), lengths.max()
        raise ValueError(f"descriptors are no unit vectors: lengths {low:.3g} to {high:.3g}")
    return descriptors
