"""`sscd pair`: are these two images copies of one another?"""

from __future__ import annotations

from dataclasses import dataclass

from sscd_cli.options import PairOptions, check_threshold


@dataclass(frozen=True)
class PairResult:
    """How similar two images are.

    similarity: cosine in [-1, 1]. distance: Euclidean, sqrt(2 - 2 · similarity). is_copy:
    similarity >= threshold.
    """

    left: str
    right: str
    similarity: float
    distance: float
    threshold: float
    is_copy: bool
    model: str


def run(options: PairOptions) -> PairResult:
    """Embed two images and compare them at the threshold, by default the model's own.

    Raises: SscdError: an image cannot be read. ModelError, UsageError: as `load_model`.
    """
    check_threshold(options.threshold)
    from sscd_cli.images.decode import load_file
    from sscd_cli.models.load import load_model

    images = [load_file(path, exif=options.exif) for path in (options.left, options.right)]
    model = load_model(options.model, device=options.device, precision=options.precision)
    left, right = model.embed(images)
    similarity = min(float(left @ right), 1.0)
    threshold = model.spec.threshold if options.threshold is None else options.threshold
    return PairResult(
        left=options.left,
        right=options.right,
        similarity=similarity,
        distance=(2 - 2 * similarity) ** 0.5,
        threshold=threshold,
        is_copy=similarity >= threshold,
        model=model.spec.name,
    )
