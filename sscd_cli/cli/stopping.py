"""Signals that end a run: SIGTERM and SIGHUP do it as Ctrl-C does, and none leaves half a file."""

from __future__ import annotations

import signal
import time
from typing import Any, ClassVar

_SAME = 1.0  # seconds in which `timeout` and Slurm send a process and its group the same signal


class _Last:
    """The last signal that came, and when; Ctrl-C is Python's own affair."""

    number: ClassVar[int] = signal.SIGINT
    seconds: ClassVar[float] = -_SAME


def end_as_ctrl_c_does() -> None:
    """Make KeyboardInterrupt of what Slurm, Docker and CI send, and of a terminal that closes.

    A signal that is ignored, as by `nohup`, stays so.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: Any) -> None:
    now = time.monotonic()
    again = _Last.number == number and now - _Last.seconds < _SAME
    _Last.number, _Last.seconds = number, now
    if not again:
        raise KeyboardInterrupt


def interrupted() -> tuple[str, int]:
    """Return what to say of a run that was stopped, and its exit status, as shells have it."""
    number = signal.Signals(_Last.number)
    word = "interrupted" if number is signal.SIGINT else f"stopped by {number.name}"
    return f"{word}; run the same command again to go on", 128 + number
