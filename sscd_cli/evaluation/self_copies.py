"""Make copies of photographs and search them among the originals.

Legend of shapes: N originals, M distractors, R = N + M references, Q queries (the copies),
K scores kept for each query, D dimensions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.edits.named import EDITS, Edit, RGBImage
from sscd_cli.evaluation.copies_report import CopiesReport, Floats

Embed = Callable[[Sequence[RGBImage]], Floats]
Bias = Callable[[Floats], Floats | None]
ImagesDone = Callable[[int], None]
Each = Callable[[Callable[[int], Any], Iterable[int]], Iterable[Any]]
_Found = tuple[NDArray[np.int64], Floats, NDArray[np.bool_]]

_IMAGES_AT_ONCE = 8
# that each core has at their full size: beside these an original, another that an edit borrows,
# and what an edit makes on its way
IMAGES_HELD = _IMAGES_AT_ONCE + 4


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
    bias: Bias | None = None,
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
    reports = compare_copies(
        {"": embed},
        originals,
        distractors,
        edits=edits,
        seed=seed,
        keep=keep,
        precision=precision,
        progress=progress,
        biases={"": bias} if bias else None,
        each=each,
    )
    return reports[""]


def compare_copies(
    embeds: Mapping[str, Embed],
    originals: Sequence[RGBImage],
    distractors: Sequence[RGBImage] = (),
    *,
    edits: Sequence[Edit] = EDITS,
    seed: int = 0,
    keep: int = 10,
    precision: float = 0.9,
    progress: ImagesDone | None = None,
    biases: Mapping[str, Bias] | None = None,
    each: Each = map,
) -> dict[str, CopiesReport]:
    """Evaluate several embeddings, by name, on the same copies, each of them made once.

    Everything else is as in `evaluate_copies`.
    """
    if len(originals) < 2 or not edits or keep < 1:
        raise ValueError(
            f"{len(originals)} originals, {len(edits)} edits, keep {keep}: two originals, "
            "one edit and keep 1 are the least"
        )
    bias_of = {name: (biases or {}).get(name, _no_bias) for name in embeds}
    references = _embed_all(embeds, originals, each, progress)
    for name, extra in _embed_all(embeds, distractors, each, progress).items():
        references[name] = np.concatenate([references[name], extra])
    found: dict[str, list[_Found]] = {name: [] for name in embeds}
    for copies in _copies_of_all(embeds, originals, edits, seed, each, progress):
        for name, queries_QD in copies.descriptors.items():
            bias_Q = bias_of[name](queries_QD)
            found[name].append(_search(copies, queries_QD, references[name], keep, bias_Q))
    sources = {name: rows[: len(originals)] for name, rows in references.items()}
    return {
        name: _report(
            tuple(edits),
            found[name],
            references=len(references[name]),
            originals=sources[name],
            bias=bias_of[name](sources[name]),
            precision=precision,
        )
        for name in embeds
    }


def _no_bias(rows: Floats) -> None:
    return None


def copy_similarities(
    embed: Embed,
    originals: Sequence[RGBImage],
    descriptors_ND: Floats,
    *,
    edits: Sequence[Edit] = EDITS,
    seed: int = 0,
    bias: Bias | None = None,
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
    made = _copies_of_all({"": embed}, originals, edits, seed, each, progress)
    for copies, original_D in zip(made, descriptors_ND, strict=True):
        copies_ED = copies.descriptors[""]
        both = (bias or _no_bias)(np.vstack([original_D, copies_ED]))
        taken = 0.0 if both is None else (both[0] + both[1:]) / 2
        rows.append(copies_ED @ original_D - taken)
    return np.stack(rows)


def _report(
    edits: tuple[Edit, ...],
    found: Sequence[_Found],
    *,
    references: int,
    originals: Floats,
    bias: Floats | None,
    precision: float,
) -> CopiesReport:
    edit_of, scores, is_match = zip(*found, strict=True)
    return CopiesReport(
        edits=edits,
        edit_of=np.concatenate(edit_of),
        scores=np.concatenate(scores),
        is_match=np.concatenate(is_match),
        originals=originals,
        references=references,
        precision=precision,
        bias=bias,
    )


@dataclass(frozen=True)
class _Copies:
    """The copies of one original: by each edit one, in their order, and whose borrows another.

    original, borrowed: by number. borrows: bool (edits,). descriptors: (edits, D), by embedding.
    """

    original: int
    borrowed: int
    borrows: NDArray[np.bool_]
    descriptors: Mapping[str, Floats]


def _copies_of_all(
    embeds: Mapping[str, Embed],
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
            parts.append(_embedded(embeds, some))
        return _Copies(index, borrowed, borrows, _joined(parts))

    for copies in each(copies_of, range(len(originals))):
        if progress:
            progress(len(edits))
        yield copies


def _search(
    copies: _Copies, queries_QD: Floats, references_RD: Floats, keep: int, bias_Q: Floats | None
) -> _Found:
    similarity_QR = queries_QD @ references_RD.T
    similarity_QR[copies.borrows, copies.borrowed] = -np.inf
    rows = np.arange(len(queries_QD))
    scores_QK, is_match_QK = _nearest(similarity_QR, np.full_like(rows, copies.original), keep)
    if bias_Q is not None:
        scores_QK -= bias_Q[:, None]
    return rows, scores_QK, is_match_QK


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
    embeds: Mapping[str, Embed],
    images: Sequence[RGBImage],
    each: Each,
    progress: ImagesDone | None,
) -> dict[str, Floats]:
    """Return each embedding's descriptors of all images, a few images in memory at a time."""

    def embedded(start: int) -> dict[str, Floats]:
        some = range(start, min(start + _IMAGES_AT_ONCE, len(images)))
        return _embedded(embeds, [images[i] for i in some])

    parts = []
    for part in each(embedded, range(0, len(images), _IMAGES_AT_ONCE)):
        parts.append(part)
        if progress:
            progress(min(_IMAGES_AT_ONCE, len(images) - _IMAGES_AT_ONCE * (len(parts) - 1)))
    return _joined(parts)


def _embedded(embeds: Mapping[str, Embed], images: Sequence[RGBImage]) -> dict[str, Floats]:
    return {name: _checked(embed(images), len(images)) for name, embed in embeds.items()}


def _joined(parts: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    """Return the rows of all parts, by embedding."""
    names = parts[0] if parts else ()
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _checked(descriptors: Floats, images: int) -> Floats:
    descriptors = np.asarray(descriptors, dtype=np.float32)
    if descriptors.ndim != 2 or len(descriptors) != images:
        raise ValueError(f"{images} images became an array {descriptors.shape}")
    lengths = np.linalg.norm(descriptors, axis=1)
    if not np.allclose(lengths, 1, atol=1e-2):
        low, high = lengths.min(), lengths.max()
        raise ValueError(f"descriptors are no unit vectors: lengths {low:.3g} to {high:.3g}")
    return descriptors
