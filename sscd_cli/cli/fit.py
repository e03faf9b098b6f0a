"""`sscd fit`."""

from __future__ import annotations

from sscd_cli.cli import terminal
from sscd_cli.options.fit import FitOptions
from sscd_cli.text import counted


def fit(options: FitOptions) -> None:
    """Learn from sample images what --post and --score-norm apply.

    Example: sscd fit ./other-descriptors -o photos.post

    The sample should look like the images that will be compared, but be others.
    """
    from sscd_cli.commands import fit as verb

    result = verb.run(options)
    post = result.post
    if result.is_noisy:
        terminal.warn(
            f"{post.images:,} images are few to whiten {post.provenance.dimensions} dimensions; "
            f"{verb.IMAGES_PER_DIMENSION * post.provenance.dimensions:,} or more are better"
        )
    terminal.note(
        f"{options.output}: {post.name} of {counted(post.images, 'images')} of "
        f"{post.provenance.model}, {len(post.sample):,} kept as background"
    )
