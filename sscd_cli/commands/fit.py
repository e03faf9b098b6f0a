"""`sscd fit`: learn the post-processing of descriptors from a sample of images."""

from __future__ import annotations

from dataclasses import dataclass

from sscd_cli.descriptors.read import stream_comparable
from sscd_cli.options.fit import FitOptions
from sscd_cli.scoring.post import PostProcessing

IMAGES_PER_DIMENSION = 10


@dataclass(frozen=True)
class FitResult:
    """What was learned. is_noisy: from too few images for their variances to be precise."""

    post: PostProcessing
    is_noisy: bool


def run(options: FitOptions) -> FitResult:
    """Learn from a descriptor dataset, one shard in memory at a time, and write one file.

    Raises: StoreError: no descriptors, too few or too alike, or the file cannot be written.
        UsageError: dimensions that it cannot keep.
    """
    provenance, blocks = stream_comparable(options.descriptors)
    post = PostProcessing.fit(
        blocks,
        provenance,
        transform=options.transform,
        dimensions=options.dimensions,
        background=options.background,
        seed=options.seed,
    )
    post.save(options.output)
    few = post.images < IMAGES_PER_DIMENSION * provenance.dimensions
    return FitResult(post, is_noisy=few and options.transform == "whiten")
