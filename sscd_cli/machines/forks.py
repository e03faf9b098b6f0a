"""Work that Python itself does, on all cores: threads would wait for its one lock."""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from sscd_cli.errors import SscdError
from sscd_cli.machines.hardware import core_count

T = TypeVar("T")
R = TypeVar("R")

FEWEST = 32  # things to do: for fewer a process takes longer to begin than it saves
# handed over at a time, which costs more than to see that a file is gone; progress shows fewer
MANY, MOST_A_TIME = 256, 15
_PR_SET_PDEATHSIG = 1
_THREADS = Path("/proc/self/task")
_REST_SECONDS = 1.0


class _Held:
    """What a process was forked for."""

    work: ClassVar[Callable[[Any], Any]]


def on_all_cores(work: Callable[[T], R], things: Sequence[T]) -> Iterator[R]:
    """Yield what comes of each thing, in order.

    On Linux processes are forked for it, so that `work` may hold whatever this one does and is not
    copied; what it returns is. It must use no library that has threads here. Elsewhere, and for a
    few things, threads do it.
    Raises: SscdError: a process was killed; and what `work` raises.
    """
    if core_count() == 1:
        yield from map(work, things)
        return
    forks = sys.platform == "linux" and len(things) >= FEWEST
    pool, task = (_forked(work), _work_held) if forks else (ThreadPoolExecutor(core_count()), work)
    try:
        yield from pool.map(task, things, chunksize=1 + min(len(things) // MANY, MOST_A_TIME))
    except BrokenProcessPool as error:
        what = "a process of this run was killed, perhaps for lack of memory"
        raise SscdError(what, "free some, and run the same command again") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _forked(work: Callable[[Any], Any]) -> Executor:
    _let_threads_rest()
    return _Quiet(
        core_count(), multiprocessing.get_context("fork"), initializer=_begin, initargs=(work,)
    )


def _let_threads_rest() -> None:
    """Wait until no other thread runs, but not long.

    One that has done its work still tidies up in its libraries, as in OpenCV, under locks that a
    process forked meanwhile would find locked for ever.
    """
    end, before = time.monotonic() + _REST_SECONDS, {"": ""}
    while time.monotonic() < end:
        threads = {thread.name: _state(thread) for thread in _THREADS.iterdir()}
        del threads[str(threading.get_native_id())]
        if threads == before and not {"R", "D"} & {*threads.values()}:
            return
        before = threads
        time.sleep(0.0005)


def _state(thread: Path) -> str:
    """Return "R" of one that runs, "D" of one that the disk holds up, "" of one that has ended."""
    try:
        return (thread / "stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return ""


class _Quiet(ProcessPoolExecutor):
    """A pool whose forks beside idle threads are no mistakes, as newer Pythons say they are."""

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return super().submit(*args, **kwargs)


def leave_stopping_to_parent() -> None:
    """Ignore what ends a run: it may reach all processes, and the first decides when to stop."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _begin(work: Callable[[Any], Any]) -> None:
    """Be ready in a new process, which does not outlive the first one."""
    leave_stopping_to_parent()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _Held.work = work


def _work_held(thing: Any) -> Any:
    return _Held.work(thing)
