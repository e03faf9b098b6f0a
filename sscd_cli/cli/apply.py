"""`sscd apply` and `sscd undo`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from sscd_cli.choices import EXACT_BYTES
from sscd_cli.cli import terminal
from sscd_cli.options.apply import ApplyOptions, UndoOptions
from sscd_cli.text import bytes_text, counted

if TYPE_CHECKING:
    from sscd_cli.commands.apply import ApplyResult
    from sscd_cli.decisions.plan import Step

_PARTLY = 3
_DONE = {
    "quarantine": "moved into quarantine",
    "trash": "moved to the trash",
    "delete": "deleted",
    "hardlink": "made hard links",
    "reflink": "made reflinks",
    "symlink": "made symbolic links",
}


def apply(options: ApplyOptions) -> None:
    """Move what a report calls removable, link it or delete it.

    Example: sscd apply report.jsonl --go

    Without --go it says what it would do. Both files of each pair are hashed again before each
    act, and each act is in a journal, from which sscd undo brings everything back.
    """
    from sscd_cli.commands import apply as verb

    result = verb.run(options, _typed_count)
    if not options.go:
        for step in result.steps:
            terminal.print_lines([_line(result, step)])
    _tell(result, options)
    if result.refused and options.go:
        raise typer.Exit(_PARTLY)


def _typed_count(count: int) -> int | None:
    """Ask a person for the number of images to delete; None where there is none to ask."""
    if sys.stdin is None or not sys.stdin.isatty() or sys.stderr is None:
        return None
    terminal.print_error(f"{counted(count, 'images')} will be deleted for good; type the number")
    with terminal.unwatched():
        answer = sys.stdin.readline().strip().replace(",", "")
    return int(answer) if answer.isdecimal() else None


def _line(result: ApplyResult, step: Step) -> str:
    removal = step.removal
    image = removal.image
    exact = image.band == EXACT_BYTES  # of which the reason says no more
    why = image.band if exact else ", ".join(filter(None, (image.band, image.reason)))
    along = f", with {', '.join(step.sidecars)}" if step.sidecars else ""
    return f"{result.action}  {image.path}  ({why}; {removal.keeper.path} stays{along})"


def _tell(result: ApplyResult, options: ApplyOptions) -> None:
    _tell_refused(result.refused, "not touched")
    if result.spared:
        terminal.note(f"{counted(result.spared, 'removable images')} left, for so it was decided")
    for source, count in result.elsewhere.items():
        terminal.warn(
            f"{counted(count, 'removable images')} in {source}: "
            f"run sscd filter {source} --remove {options.report} -o PLACE"
        )
    if result.before:
        terminal.note(f"{counted(result.before, 'images')} had gone in an earlier run")
    if result.journal is None:
        size = bytes_text(sum(step.removal.image.file_bytes for step in result.steps))
        terminal.note(
            f"{counted(len(result.steps), 'images')} ({size}) would be "
            f"{_DONE[result.action]}; add --go to do it"
        )
        return
    along = f", with {counted(result.sidecars, 'files')} beside them" if result.sidecars else ""
    size = bytes_text(result.done_bytes)
    if not result.done:
        terminal.note("nothing was done")
        return
    terminal.note(
        f"{counted(result.done, 'images')} {_DONE[result.action]} ({size}{along}); "
        f"sscd undo {result.journal} takes it back"
        if result.action != "delete"
        else f"{counted(result.done, 'images')} deleted ({size}{along}), as {result.journal} says"
    )


def undo(options: UndoOptions) -> None:
    """Bring back what sscd apply moved or linked, as it was.

    Example: sscd undo report.journal.jsonl

    No file that is there is overwritten; what cannot be brought back is named.
    """
    from sscd_cli.commands import undo as verb

    result = verb.run(options)
    _tell_refused(result.failed, "not restored")
    terminal.note(f"{counted(result.restored, 'files')} restored")
    if result.failed:
        raise typer.Exit(_PARTLY)


def _tell_refused(refused: Iterable[tuple[str, str]], what: str) -> None:
    for path, why in refused:
        terminal.warn(f"{path} is {what}: {why}")
