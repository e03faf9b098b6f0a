"""What this process is busy with, for who watches it: stages, one within the other.

Work says what it does and how far it is. Nothing is printed here, and nothing is lost where nobody
looks. One thread opens stages; any may count in them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
Progress = Callable[[int, int], None]  # how many are done, and of how many


@dataclass(eq=False)
class Stage:
    """One piece of work.

    name: what is done, or what is counted. total: how many there are, None while nobody knows;
    done: of them. listing: the total still grows. fresh: of those done, how many took work;
    None: all. unit: "B" for bytes, "%" where only the share tells anything. note: more to tell,
    such as "3 unreadable".
    """

    name: str
    total: int | None = None
    done: int = 0
    listing: bool = False
    fresh: int | None = None
    unit: str = ""
    note: str = ""
    began: float = field(default_factory=time.monotonic)

    def tell(self, done: int, total: int | None) -> None:
        """Say how many are done, and of how many."""
        self.done, self.total = done, total

    def add(self, more: int) -> None:
        """Say that more are done."""
        self.done += more


@dataclass
class _Now:
    stages: list[Stage]
    watched: bool = False


_now = _Now([])


@contextmanager
def stage(name: str, total: int | None = None, *, unit: str = "") -> Iterator[Stage]:
    """Open a stage within the current one while the context lasts."""
    opened = Stage(name, total, unit=unit)
    _now.stages.append(opened)
    try:
        yield opened
    finally:
        _now.stages.remove(opened)


def each(
    things: Iterable[T], name: str, total: int | None = None, *, unit: str = ""
) -> Iterator[T]:
    """Yield things in a stage of their own, and count those that are done."""
    with stage(name, total, unit=unit) as opened:
        for thing in things:
            yield thing
            opened.done += 1


def current() -> Stage | None:
    """Return the innermost stage."""
    stages = _now.stages
    return stages[-1] if stages else None


def watch(watched: bool) -> None:
    """Say whether somebody looks, so that what is only for them is done."""
    _now.watched = watched


@contextmanager
def watched_by(look: Callable[[], None], over: threading.Event) -> Iterator[None]:
    """Run `look` on a thread of its own while the context lasts; it ends when `over` is set."""
    thread = threading.Thread(target=look, name="progress", daemon=True)
    watch(True)
    thread.start()
    try:
        yield
    finally:
        watch(False)
        over.set()
        thread.join()


def is_watched() -> bool:
    return _now.watched
