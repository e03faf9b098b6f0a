"""`sscd undo`: what a journal of `sscd apply` says was done is taken back, the last act first."""

from __future__ import annotations

from dataclasses import dataclass, field

from sscd_cli.decisions.acts import NotRestoredError, reverse, settle
from sscd_cli.decisions.folder_times import bring_back
from sscd_cli.decisions.journal import opened
from sscd_cli.errors import reason_of
from sscd_cli.machines.stages import each
from sscd_cli.options.apply import UndoOptions


@dataclass
class UndoResult:
    """restored: how many files are as they were. failed: paths of the others, and why."""

    restored: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


def run(options: UndoOptions) -> UndoResult:
    """Restore all files of a journal with their times, and the times of their folders where nobody
    else has changed these since; no file that is there is overwritten.

    What an undo before this one brought back is left alone; what it could not is tried again.
    Raises: UsageError: no journal. SscdError: it cannot be written.
    """
    result = UndoResult()
    with opened(options.journal) as journal:
        for act in journal.in_state("intent"):
            try:
                journal.mark("done" if settle(act) else "dropped", [act])
            except OSError as error:
                result.failed.append((act.path, reason_of(error)))
        journal.settle_stopped()
        times = journal.restore_times()
        left = journal.in_state("done", "undoing")
        for act in each(reversed(left), "files", len(left)):
            begun = journal.state[act.number] == "undoing"
            try:
                journal.mark("undoing", [act])
                reverse(act, begun=begun)
            except (NotRestoredError, OSError) as error:
                why = str(error) if isinstance(error, NotRestoredError) else reason_of(error)
                result.failed.append((act.path, why))
            else:
                journal.mark("undone", [act])
                result.restored += 1
        still = {folder for act in journal.in_state("done", "undoing") for folder in act.folders}
        bring_back({folder: time for folder, time in times.items() if folder not in still})
        journal.end_restoring()
    return result
