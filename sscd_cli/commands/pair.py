"""`sscd pair`: are these two images copies of one another?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sscd_cli.choices import check_threshold
from sscd_cli.embedding.provenance import provenance_of
from sscd_cli.evaluation.explanation import Explanation, explain
from sscd_cli.images.decode import load_file
from sscd_cli.models.load import load_model
from sscd_cli.options.pair import PairOptions
from sscd_cli.scoring.scale import Scale
from sscd_cli.scoring.threshold import resolve


@dataclass(frozen=True)
class PairResult:
    """How similar two images are.

    similarity: on `scale` (see `scoring.scale`), by default cosine in [-1, 1]. distance:
    Euclidean, sqrt(2 - 2 · cosine), before any score normalisation. is_copy: similarity >=
    threshold. explanation: which single edit accounts for it, if that was asked for; by cosine.
    """

    left: str
    right: str
    similarity: float
    distance: float
    threshold: float
    is_copy: bool
    model: str
    scale: str
    explanation: Explanation | None


def run(options: PairOptions) -> PairResult:
    """Embed two images and compare them at the threshold, by default the model's own.

    A threshold "auto" is that of the descriptors in `options.descriptors`.

    Raises: SscdError: an image cannot be read. ModelError, UsageError: as `load_model`.
        StoreError: the post-processing is unreadable or another model's.
    """
    check_threshold(options.threshold, options.descriptors)

    scale = Scale.load(options.post, options.score_norm)
    paths = options.left, options.right
    model = load_model(
        options.model, device=options.device, precision=options.precision, recipe=options.recipe
    )
    made = provenance_of(model, exif=options.exif, dtype="float32")
    threshold = resolve(options.threshold, scale.provenance(made), options.descriptors, scale)
    rows = scale.apply(model.embed(paths, exif=options.exif, strict=True))
    cosine = min(float(rows[0] @ rows[1]), 1.0)
    bias = scale.bias(rows)
    similarity = cosine if bias is None else cosine - float(bias.mean())
    explanation = None
    if options.explain:
        images = [load_file(path, exif=options.exif) for path in paths]
        explanation = explain(model.embed, *images, side=model.spec.recipe.size)
    return PairResult(
        left=options.left,
        right=options.right,
        similarity=similarity,
        distance=float(np.linalg.norm(rows[0] - rows[1])),
        threshold=threshold,
        is_copy=similarity >= threshold,
        model=model.spec.name,
        scale=str(scale),
        explanation=explanation,
    )
