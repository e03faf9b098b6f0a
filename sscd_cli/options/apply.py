"""The options of `sscd apply` and `sscd undo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sscd_cli.choices import Action, Reversible
from sscd_cli.errors import UsageError
from sscd_cli.options import shared
from sscd_cli.options.help import Argument, Help, Options, Range


@dataclass(frozen=True, kw_only=True)
class ApplyOptions(Options):
    """What is done with the removable images of a report."""

    report: shared.ReportToRead
    go: Annotated[bool, Help("Do it; without, only say what would be done.")] = False
    action: Annotated[
        Reversible,
        Help(
            "quarantine: move into a hidden folder beside them; trash; or hardlink, reflink, "
            "symlink: put a link to what stays in place of exact copies."
        ),
    ] = "quarantine"
    delete: Annotated[bool, Help("Delete, for good, instead; asks for the number of images.")] = (
        False
    )
    yes: Annotated[
        int | None,
        Help(
            "The number of images to delete, where nobody can be asked.",
            within=Range(least=0),
            variable="SSCD_APPLY_YES",
        ),
    ] = None
    decisions: shared.Decisions = None
    protect: Annotated[
        tuple[str, ...],
        Help("No image whose path, or a folder or file name in it, matches this.", value="GLOB"),
    ] = ()
    sidecars: Annotated[
        bool, Help("Take photo.xmp, photo.jpg.json, photo.txt along with photo.jpg.")
    ] = True
    journal: Annotated[
        Path | None,
        Help(
            "Where each act is noted for sscd undo; by default REPORT.journal.jsonl.",
            value="FILE",
            parse=shared.local,
        ),
    ] = None

    @property
    def chosen(self) -> Action:
        """What is done."""
        return "delete" if self.delete else self.action

    def check(self) -> None:
        """Raise UsageError for options that contradict each other."""
        if self.delete and self.action != "quarantine":
            raise UsageError(f"--delete and --action {self.action} are two things", "name one")
        if self.yes is not None and not self.delete:
            raise UsageError("--yes is the number of images to --delete", "leave it out")


@dataclass(frozen=True, kw_only=True)
class UndoOptions(Options):
    """What is taken back."""

    journal: Annotated[
        Path,
        Argument("The file that sscd apply named.", value="JOURNAL", parse=shared.local),
    ]
