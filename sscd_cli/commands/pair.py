"""`sscd pair`: are these two images copies of one another?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sscd_cli.embedding.provenance import provenance_of
from sscd_cli.evaluation.explanation import Explanation, explain
from sscd_cli.images.decode import LOW_CONTENT, content_of, load_frames
from sscd_cli.images.opening import Picture
from sscd_cli.images.preprocess import Recipe
from sscd_cli.models.load import load_model
from sscd_cli.options.pair import PairOptions
from sscd_cli.scoring.scale import Scale
from sscd_cli.scoring.threshold import calibrated_file, resolve


@dataclass(frozen=True)
class PairResult:
    """How similar two images are.

    similarity: on `scale` (see `scoring.scale`), by default cosine in [-1, 1]. distance:
    Euclidean, sqrt(2 - 2 · cosine), before any score normalisation. frames: how many either file
    has; of several the similarity is the least. is_copy: similarity >= threshold. explanation:
    which single edit accounts for it, if that was asked for; by cosine.
    """

    left: str
    right: str
    similarity: float
    distance: float
    frames: tuple[int, int]
    threshold: float
    is_copy: bool
    model: str
    scale: str
    explanation: Explanation | None


def run(options: PairOptions) -> PairResult:
    """Embed two images and compare them at the threshold, by default the model's own.

    Of animations and files of pages the first, those at the quarters and the last are compared; a
    single picture is compared with each of them. A threshold "auto" is that of the descriptors in
    `options.descriptors`.

    Raises: SscdError: an image cannot be read. ModelError, UsageError: as `load_model`.
        StoreError: the post-processing is unreadable or another model's.
    """
    calibrated_file(options.threshold, options.descriptors)
    scale = Scale.load(options.post, options.score_norm)
    paths = options.left, options.right
    model = load_model(
        options.model, device=options.device, precision=options.precision, recipe=options.recipe
    )
    made = provenance_of(model, exif=options.exif, dtype="float32")
    threshold = resolve(options.threshold, scale.provenance(made), options.descriptors, scale)
    recipe = replace(model.spec.recipe, exif=options.exif)
    shown = _aligned(paths, options.exif, recipe)
    seen = [[picture.sized(recipe) for picture in side] for side in shown]
    left, right = (scale.apply(model.embed(side)) for side in seen)
    similarity = np.minimum((left * right).sum(axis=1), 1)
    if (bias := scale.bias(np.concatenate([left, right]))) is not None:
        similarity -= bias.reshape(2, -1).mean(axis=0)
    at = int(np.where(_counting(seen), similarity, np.inf).argmin())
    explanation = None
    if options.explain:
        images = [side[at].image for side in _aligned(paths, options.exif)]
        explanation = explain(model.embed, *images, side=recipe.size)
    return PairResult(
        left=options.left,
        right=options.right,
        similarity=float(similarity[at]),
        distance=float(np.linalg.norm(left[at] - right[at])),
        frames=(shown[0][0].frames, shown[1][0].frames),
        threshold=threshold,
        is_copy=bool(similarity[at] >= threshold),
        model=model.spec.name,
        scale=str(scale),
        explanation=explanation,
    )


def _aligned(
    paths: tuple[str, str], exif: bool, recipe: Recipe | None = None
) -> tuple[list[Picture], list[Picture]]:
    """Read the frames of two files, as many of either: a single picture stands beside all."""
    left, right = (load_frames(path, exif=exif, recipe=recipe) for path in paths)
    most = max(len(left), len(right))
    return left * (most // len(left)), right * (most // len(right))


def _counting(seen: list[list[NDArray[np.uint8]]]) -> NDArray[np.bool_]:
    """Return which frames count: next to nothing in both says nothing, unless all are so."""
    empty = [[content_of(picture) < LOW_CONTENT for picture in side] for side in seen]
    both: NDArray[np.bool_] = np.all(empty, axis=0)
    return ~both | both.all()
