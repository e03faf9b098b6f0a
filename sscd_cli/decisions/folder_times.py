"""When folders were last changed, before files were moved out of them, so that this comes back.

A time comes back only if nobody but us has changed the folder since; it is then the time of the
last change that was not ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

Times = Mapping[str, int]  # folder -> nanoseconds


def times_of(folders: Iterable[str]) -> dict[str, int]:
    """Return the times of those folders that are there."""
    found = {}
    for folder in folders:
        with suppress(OSError):
            found[folder] = os.stat(folder).st_mtime_ns
    return found


@dataclass
class FolderTimes:
    """own: of each folder the time to bring back. left: the time after our last act in it, if that
    is known. restoring: what an undo that has begun brings back.
    """

    own: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    restoring: dict[str, int] = field(default_factory=dict)

    def before(self, times: Times) -> None:
        """Note the times before an act."""
        for folder, time in times.items():
            if self.left.pop(folder, None) != time:
                self.own[folder] = time

    def after(self, times: Times) -> None:
        """Note the times after it."""
        self.left |= times

    def unsettled(self) -> set[str]:
        """Return the folders in which an act was stopped."""
        return self.own.keys() - self.left.keys()

    def untouched(self) -> dict[str, int]:
        """Return the times to bring back of the folders that nobody else has changed since."""
        now = times_of(self.own)
        return {f: time for f, time in self.own.items() if f in now and now[f] == self.left.get(f)}


def bring_back(times: Times) -> None:
    """Give folders their times, as far as they are there and ours."""
    for folder, time in times.items():
        with suppress(OSError):
            os.utime(folder, ns=(os.stat(folder).st_atime_ns, time))
