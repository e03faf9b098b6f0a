"""The options of `sscd calibrate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sscd_cli.choices import DESCRIPTORS
from sscd_cli.options import shared
from sscd_cli.options.help import Help, Options, Range
from sscd_cli.options.shared import SHARE


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(Options):
    """The threshold of a wanted precision, for one's own images. model: None is that of the
    descriptors, by its name."""

    descriptors: shared.Descriptors = DESCRIPTORS
    wanted_precision: Annotated[
        float, Help("Share of the reported pairs that are to be copies.", "-p", within=SHARE)
    ] = 0.99
    copies_per_image: Annotated[
        float | None,
        Help(
            "Copies that an image has on average, as 0.1; by default estimated from the images.",
            within=Range(above=0, most=1_000_000),
        ),
    ] = None
    images: Annotated[
        int | None,
        Help(
            "How many images will be compared; by default as many as there are.",
            within=Range(least=2, most=10**12),
        ),
    ] = None
    sample: Annotated[
        int,
        Help("Images of which edited copies are made.", within=Range(least=2, most=10_000_000)),
    ] = 100
    weights: Annotated[
        str,
        Help(
            "How often each edit is expected, as crop=2,flip=0 or all=0,jpeg=1; else all alike.",
            value="EDIT=NUMBER,…",
        ),
    ] = ""
    output: Annotated[
        Path | None,
        Help(
            "Write the threshold here; by default to threshold.json with the descriptors.",
            "-o",
            parse=shared.file_to_write,
        ),
    ] = None
    post: shared.Post = None
    score_norm: shared.ScoreNorm = None
    seed: shared.Seed = 0
    model: shared.OwnModel = None
    device: shared.Device = "auto"
