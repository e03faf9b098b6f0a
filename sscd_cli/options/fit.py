"""The options of `sscd fit`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sscd_cli.choices import DESCRIPTORS, Transform
from sscd_cli.options import shared
from sscd_cli.options.help import Argument, Help, Options, Range
from sscd_cli.storage.places import place


@dataclass(frozen=True, kw_only=True)
class FitOptions(Options):
    """From a descriptor dataset to a post-processing file."""

    output: shared.Output
    descriptors: Annotated[
        Path,
        Argument("The descriptor dataset to learn from.", value="DESCRIPTORS", parse=place),
    ] = DESCRIPTORS
    transform: Annotated[
        Transform,
        Help(
            "center, pca or whiten, each followed by L2 normalisation; none keeps only the "
            "background."
        ),
    ] = "center"
    dimensions: Annotated[
        int | None,
        Help("How many to keep; by default all.", within=Range(least=1, most=(1 << 16) - 1)),
    ] = None
    background: Annotated[
        int,
        Help("Images kept for --score-norm, at most.", within=Range(least=0, most=(1 << 31) - 1)),
    ] = 10_000
    seed: shared.Seed = 0
