"""How far a command is: a line at the foot of a terminal, or one now and then in a log."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from sscd_cli.machines import stages
from sscd_cli.machines.stages import Stage
from sscd_cli.text import bytes_text

DELAY = 0.2  # seconds before a command that takes longer says what it does
_DRAWN_EVERY = 0.1
_SAID_EVERY = 30.0
_LONG = 60.0  # in CI, and nobody asked: runs longer than this
_WINDOW = 10.0  # seconds that a speed is measured over
_BAR, _LEAST_BAR = 30, 8  # columns


@dataclass
class Speed:
    """How fast a stage goes, by the last ten seconds."""

    _seen: deque[tuple[float, int, int]] = field(default_factory=deque)
    _of: Stage | None = None

    def of(self, stage: Stage, now: float) -> tuple[float, float]:
        """Return how many a second took work, and how many a second are done at all."""
        if stage is not self._of:
            self._of, self._seen = stage, deque([(stage.began, 0, 0)])
        fresh = stage.done if stage.fresh is None else stage.fresh
        self._seen.append((now, fresh, stage.done))
        while len(self._seen) > 2 and self._seen[1][0] < now - _WINDOW:
            self._seen.popleft()
        if self._seen[0][2] == 0:  # what came before the first was no work on them
            while len(self._seen) > 2 and self._seen[1][2] == 0:
                self._seen.popleft()
        then, fresh_then, done_then = self._seen[0]
        seconds = max(now - then, 1e-3)
        return (fresh - fresh_then) / seconds, (stage.done - done_then) / seconds


def parts_of(stage: Stage, speed: tuple[float, float], now: float) -> dict[str, str]:
    """Return what there is to say of a stage, by kind, in the order of the line."""
    fresh, all = speed
    parts = {"name": stage.name}
    known = stage.total if stage.total and not stage.listing else None
    if known:
        parts["share"] = f"{min(stage.done / known, 1):4.0%}"
    if (stage.done or known) and stage.unit != "%":
        parts["count"] = _count(stage)
    if stage.done and fresh > 0 and stage.unit != "%":
        parts["speed"] = _speed(fresh, stage)
    if stage.note:
        parts["note"] = stage.note
    if known and stage.done and all > 0:
        parts["time"] = f"{clock((known - stage.done) / all)} left"
    else:
        parts["time"] = clock(now - stage.began)
    return parts


def line_of(parts: dict[str, str], columns: int, share: float | None) -> str:
    """Return a line that fits a terminal: what matters least is left out, nothing is cut."""
    parts = dict(parts)
    for least in ("note", "speed", "count", "share", "time"):
        if len("  ".join(parts.values())) <= columns:
            break
        parts.pop(least, None)
    text = "  ".join(parts.values())
    room = min(columns - len(text) - 2, _BAR)
    if share is None or room < _LEAST_BAR or "share" not in parts:
        return text[:columns]
    name, percent, *rest = parts.values()
    return "  ".join((name, f"{percent} {bar(share, room - 1)}", *rest))


def bar(share: float, columns: int) -> str:
    """Return a bar of so many columns."""
    full = int(min(share, 1.0) * columns)
    return "█" * full + "░" * (columns - full)


def clock(seconds: float) -> str:
    """Return a time for people: "0:07", "12:30", "3:05:00"."""
    whole = max(int(seconds + 0.5), 0)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _count(stage: Stage) -> str:
    if stage.unit == "B":
        done = bytes_text(stage.done)
        return f"{done} of {bytes_text(stage.total)}" if stage.total else done
    if stage.total is None:
        return f"{stage.done:,}"
    more = "+" if stage.listing else ""
    return f"{stage.done:,} of {stage.total:,}{more}"


def _speed(speed: float, stage: Stage) -> str:
    if stage.unit == "B":
        return f"{bytes_text(round(speed))}/s"
    return f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s"


class Watcher:
    """A thread that looks at the current stage and shows it.

    A terminal has one line, which goes when something else is written (see `hidden`); other
    streams get a line every half minute.
    """

    def __init__(self, stream: TextIO, *, redraws: bool, quiet_for: float = 0.0) -> None:
        self._stream, self._redraws, self._quiet_for = stream, redraws, quiet_for
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._speed = Speed()
        self._drawn = 0
        self._hidden = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Show stages while the context lasts, and leave no trace on a terminal."""
        try:
            with stages.watched_by(self._run, self._stop):
                yield
        finally:
            self._clear()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Take the line away while something else is written."""
        with self._lock:
            self._hidden += 1
            self._clear()
        try:
            yield
        finally:
            with self._lock:
                self._hidden -= 1

    def _run(self) -> None:
        began = time.monotonic()
        every, first = (_DRAWN_EVERY, DELAY) if self._redraws else (_SAID_EVERY, _SAID_EVERY)
        wait = max(first, self._quiet_for)
        while not self._stop.wait(wait):
            wait = every
            self.show(time.monotonic(), began)

    def show(self, now: float, began: float) -> None:
        """Show the current stage as it is now."""
        stage = stages.current()
        with self._lock:
            if stage is None or self._hidden:
                self._clear()
                return
            parts = parts_of(stage, self._speed.of(stage, now), now)
            if not self._redraws:
                self._write(
                    f"{', '.join(map(str.strip, parts.values()))} (after {clock(now - began)})\n"
                )
                return
            share = stage.done / stage.total if stage.total and not stage.listing else None
            text = line_of(parts, shutil.get_terminal_size().columns - 1, share)
            self._write("\r" + text.ljust(self._drawn))
            self._drawn = len(text)

    def _clear(self) -> None:
        if self._drawn:
            self._write("\r" + " " * self._drawn + "\r")
            self._drawn = 0

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # closed: nobody looks any more
            self._stop.set()


def wants_lines(asked: bool) -> float | None:
    """Return from which second on a log gets lines, None for never."""
    if asked:
        return 0.0
    return _LONG if os.environ.get("CI", "").lower() not in ("", "0", "false") else None
