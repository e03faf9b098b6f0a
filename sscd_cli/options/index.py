"""The options of `sscd index`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sscd_cli.choices import DESCRIPTORS
from sscd_cli.options import shared
from sscd_cli.options.help import Argument, Help, Options


@dataclass(frozen=True, kw_only=True)
class IndexOptions(Options):
    """From a descriptor dataset to a FAISS index beside it."""

    descriptors: shared.Descriptors = DESCRIPTORS
    post: shared.Post = None
    factory: Annotated[str, Help("auto by size, or a FAISS factory string.")] = "auto"
    rebuild: Annotated[bool, Help("Build anew.")] = False


@dataclass(frozen=True, kw_only=True)
class SearchOptions(Options):
    """The nearest images of a dataset to some query images. model, precision: by default those of
    the descriptors."""

    images: Annotated[tuple[str, ...], Argument("Image files.", value="IMAGE")]
    descriptors: shared.Descriptors = DESCRIPTORS
    model: shared.OwnModel = None
    post: shared.Post = None
    score_norm: shared.ScoreNorm = None
    k: Annotated[int, Help("Nearest images to show.", "-k", within=shared.NEAREST)] = 10
    device: shared.Device = "auto"
    precision: shared.Precision = "auto"
