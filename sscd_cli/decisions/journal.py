"""The journal of `sscd apply`: what shall be done, before it is, and that it has been, after.

Lines of JSON: a first one that says of which report, then `{"intent": {…}}`, `{"done": [1, …]}`,
`{"dropped": […]}` (not done, after all), `{"undoing": […]}`, `{"undone": […]}`. Each reaches the
disk before what follows it. `{"before": {…}}` and `{"after": {…}}` are the times of the folders of
an act, and `{"restoring": {…}}` those that an undo brings back. A last line without an end was
never acted upon.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from typing import Any, Literal

from sscd_cli.decisions.acts import Act
from sscd_cli.decisions.folder_times import FolderTimes, Times, times_of
from sscd_cli.errors import SscdError, cannot_write, reason_of
from sscd_cli.storage.files import sync_folder
from sscd_cli.storage.locks import lock
from sscd_cli.text import TOOL, from_json

_FOLDERS = ("before", "after")
_STATES = ("done", "dropped", "undoing", "undone")


class Journal:
    """An open journal, which no other run has open. head: its first line.

    acts: by their numbers. state: of each, "intent" or one of `_STATES`. times: of their folders.
    """

    def __init__(self, path: Path, file: FileIO, head: Mapping[str, Any]) -> None:
        self.path, self.head = path, head
        self.acts: dict[int, Act] = {}
        self.state: dict[int, str] = {}
        self.times = FolderTimes()
        self._file, self._last = file, 0

    def intend(self, acts: Sequence[Act]) -> None:
        """Note what shall be done, and how old the folders are in which it is."""
        times = times_of(set().union(*(act.folders for act in acts)))
        self._write([{"before": times}, *({"intent": asdict(act)} for act in acts)])
        self.times.before(times)
        for act in acts:
            self._note(act)

    def mark(self, state: str, acts: Sequence[Act]) -> None:
        """Note what has become of acts."""
        if acts:
            self._write([{state: [act.number for act in acts]}])
            self.state |= {act.number: state for act in acts}

    def settle_times(self, acts: Sequence[Act]) -> None:
        """Note how old the folders of acts are after them."""
        times = times_of(set().union(*(act.folders for act in acts)))
        if times:
            self._write([{"after": times}])
            self.times.after(times)

    def settle_stopped(self) -> None:
        """Note how old the folders are now in which an act was stopped."""
        stopped = self.times.unsettled()
        self.settle_times([act for act in self.acts.values() if act.folders & stopped])

    def restore_times(self) -> Times:
        """Begin to bring back the times of folders, or go on with it; return which ones."""
        if not self.times.restoring:
            self._note_restoring(self.times.untouched())
        return self.times.restoring

    def end_restoring(self) -> None:
        """Note that the times are back."""
        self._note_restoring({})

    def _note_restoring(self, times: Mapping[str, int]) -> None:
        if times != self.times.restoring:
            self._write([{"restoring": times}])
            self.times.restoring = dict(times)

    def in_state(self, *states: str) -> list[Act]:
        """Return the acts in some states, in their order."""
        return [act for number, act in self.acts.items() if self.state[number] in states]

    @property
    def next_number(self) -> int:
        """Return the number of the next act."""
        return self._last + 1

    def _note(self, act: Act) -> None:
        self.acts[act.number] = act
        self._last = max(self._last, act.number)
        self.state[act.number] = "intent"

    def _write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Add lines, which are on the disk then. Raises: SscdError: they cannot be."""
        left = b"".join(json.dumps(record).encode() + b"\n" for record in records)
        try:
            while left:  # a disk that is nearly full takes a part
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            fix = "see to that and run the same command again"
            raise cannot_write(self.path, error, fix) from None

    def _read(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            for word, value in from_json(line).items():
                if word == "intent":
                    self._note(Act(**value))
                elif word in _STATES:
                    self.state |= dict.fromkeys(value, word)
                elif word in _FOLDERS:
                    (self.times.before if word == "before" else self.times.after)(value)
                elif word == "restoring":
                    self.times.restoring = dict(value)
                else:
                    raise ValueError(f"a record is {word!r}")


@contextmanager
def opened(path: Path, head: Mapping[str, Any] | None = None) -> Iterator[Journal]:
    """Open a journal to go on with it. head: begin one that is not there, with this first line.

    Raises: SscdError: there is none, another run has it open, it is damaged, or it cannot be
        written.
    """
    with _file(path, new=head is not None) as file:
        if lock(file) is False:
            raise SscdError(f"another run has {path} open", "wait until it ends")
        yield _begun(path, file, head)


def _file(path: Path, *, new: bool) -> FileIO:
    """Open the file of a journal. new: it may be made."""
    mode: Literal["r+b", "x+b"] = "x+b" if new and not path.exists() else "r+b"
    try:
        return path.open(mode, buffering=0)
    except FileNotFoundError:
        if new:
            what = f"cannot write {path}: no such folder"
            raise SscdError(what, "make it first or name another file with --journal") from None
        raise SscdError(f"there is no journal {path}", "name one of sscd apply") from None
    except (PermissionError, IsADirectoryError) as error:
        what = f"cannot use the journal {path}: {reason_of(error)}"
        raise SscdError(what, "name another file") from None


def _begun(path: Path, file: FileIO, head: Mapping[str, Any] | None) -> Journal:
    data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    file.seek(len(whole))
    file.truncate()
    if not whole:
        if head is None:
            raise SscdError(f"{path} is empty: nothing was done", "name a journal of sscd apply")
        journal = Journal(path, file, {**TOOL, "journal": 1, **head})
        journal._write([journal.head])
        sync_folder(path.parent)
        return journal
    try:
        first, *lines = whole.removesuffix(b"\n").split(b"\n")
        found = from_json(first)
        if found["journal"] != 1:
            raise ValueError("its version is unknown")
        journal = Journal(path, file, found)
        journal._read(lines)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else reason_of(error)
        what = f"{path} is no journal of sscd apply: {reason}"
        raise SscdError(what, "name the file that sscd apply named") from None
    return journal
