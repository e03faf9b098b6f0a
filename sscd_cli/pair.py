"""`sscd pair`: are these two images copies of one another?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sscd_cli.errors import UsageError
from sscd_cli.options import PairOptions

if TYPE_CHECKING:
    from PIL import Image


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
    from sscd_cli.models.load import load_model

    images = open_images((options.left, options.right), exif=options.exif)
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


def check_threshold(threshold: float | None) -> None:
    """Raise UsageError unless a threshold is a cosine similarity, or None."""
    if threshold is not None and not -1 <= threshold <= 1:
        raise UsageError(
            f"--threshold {threshold:g} is no cosine similarity", "use a number from -1 to 1"
        )


def open_images(paths: Sequence[str], *, exif: bool) -> list[Image.Image]:
    """Return RGB images; raise SscdError for the first that cannot be read."""
    from sscd_cli.images.decode import load_image
    from sscd_cli.images.sources import ImageRef

    return [load_image(ImageRef(path, "", path), exif=exif) for path in paths]
