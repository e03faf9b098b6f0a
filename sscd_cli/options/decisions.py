"""The options of `sscd decisions`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sscd_cli.choices import DESCRIPTORS
from sscd_cli.options import shared
from sscd_cli.options.help import Argument, Help, Options

_DEFAULT = DESCRIPTORS / "decisions.jsonl"
File = Annotated[Path, Help("The file of decisions.", value="FILE", parse=shared.local)]


@dataclass(frozen=True, kw_only=True)
class ListDecisionsOptions(Options):
    """Which decisions hold."""

    decisions: File = _DEFAULT


@dataclass(frozen=True, kw_only=True)
class RevokeOptions(Options):
    """What was decided of two images is taken back."""

    left: Annotated[str, Argument("An image file, or its content hash.", value="A")]
    right: Annotated[str, Argument("The other image.", value="B")]
    decisions: File = _DEFAULT
    who: Annotated[str, Help("Who takes it back.", value="NAME")] = ""
    note: Annotated[str, Help("Why.")] = ""


@dataclass(frozen=True, kw_only=True)
class MergeOptions(Options):
    """Decisions of others are added."""

    files: Annotated[
        tuple[Path, ...],
        Argument("Files of decisions.", value="FILE", parse=shared.local),
    ]
    decisions: Annotated[Path, Help("Where they are added.", value="FILE", parse=shared.local)] = (
        _DEFAULT
    )
