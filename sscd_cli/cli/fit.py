"""`sscd fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sscd_cli.cli import arguments as words
from sscd_cli.cli import terminal
from sscd_cli.options import FitOptions

_default = FitOptions(output=Path())


def fit(
    output: Annotated[
        Path,
        words.option(
            "The file to write.", "--output", "-o", show_default=False, callback=words.local
        ),
    ],
    descriptors: Annotated[
        Path,
        typer.Argument(
            metavar="DESCRIPTORS",
            envvar="SSCD_DESCRIPTORS",
            show_envvar=False,
            help="The descriptor dataset to learn from.",
            callback=words.maybe_remote,
        ),
    ] = _default.descriptors,
    transform: Annotated[
        str,
        words.option(
            "center, pca or whiten, each followed by L2 normalisation; none keeps only the "
            "background.",
            "--transform",
        ),
    ] = _default.transform,
    dimensions: Annotated[
        int | None,
        words.option("How many to keep; by default all.", "--dimensions", show_default=False),
    ] = _default.dimensions,
    background: Annotated[
        int, words.option("Images kept for --score-norm, at most.", "--background")
    ] = _default.background,
    seed: Annotated[int, words.option("Of the choice of these.", "--seed")] = _default.seed,
    quiet: words.Quiet = False,
    debug: words.Debug = False,
) -> None:
    """Learn from sample images what --post and --score-norm apply.

    The sample should look like the images that will be compared, but be others.
    """
    from sscd_cli import fit as verb

    result = verb.run(
        FitOptions(
            descriptors=descriptors,
            output=output,
            transform=transform,  # type: ignore[arg-type]
            dimensions=dimensions,
            background=background,
            seed=seed,
        )
    )
    post = result.post
    if result.is_noisy:
        terminal.warn(
            f"{post.images:,} images are few to whiten {post.provenance.dimensions} dimensions; "
            f"{verb.IMAGES_PER_DIMENSION * post.provenance.dimensions:,} or more are better"
        )
    terminal.note(
        f"{output}: {post.name} of {post.images:,} images of {post.provenance.model}, "
        f"{len(post.sample):,} kept as background"
    )
