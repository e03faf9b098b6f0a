"""The options of `sscd pair`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sscd_cli.choices import DESCRIPTORS, MODEL
from sscd_cli.options import shared
from sscd_cli.options.help import Argument, Help, Options
from sscd_cli.storage.places import place


@dataclass(frozen=True, kw_only=True)
class PairOptions(Options):
    """Two images, compared."""

    left: Annotated[str, Argument("An image file.", value="A")]
    right: Annotated[str, Argument("The image to compare it with.", value="B")]
    model: shared.Model = MODEL
    recipe: shared.Recipe = ""
    post: shared.Post = None
    score_norm: shared.ScoreNorm = None
    threshold: shared.Threshold = None
    descriptors: Annotated[
        Path,
        Help(
            "The descriptor dataset whose threshold --threshold auto is.",
            "-d",
            value="FOLDER",
            parse=place,
        ),
    ] = DESCRIPTORS
    explain: Annotated[
        bool,
        Help("Tell which single edit accounts for the pair; embeds a few hundred more images."),
    ] = False
    exif: shared.Exif = True
    device: shared.Device = "auto"
    precision: shared.Precision = "auto"
