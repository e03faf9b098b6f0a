"""The options of `sscd index`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sscd_cli.choices import DESCRIPTORS
from sscd_cli.options import shared
from sscd_cli.options.help import Help, Options


@dataclass(frozen=True, kw_only=True)
class IndexOptions(Options):
    """From a descriptor dataset to a FAISS index beside it."""

    descriptors: shared.Descriptors = DESCRIPTORS
    post: shared.Post = None
    factory: Annotated[str, Help("auto by size, or a FAISS factory string.")] = "auto"
    rebuild: Annotated[bool, Help("Build anew.")] = False
