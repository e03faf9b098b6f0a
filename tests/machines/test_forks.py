"""Work that Python does itself is spread over processes, which end with the one that began them."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from sscd_cli.errors import SscdError
from sscd_cli.machines import forks
from sscd_cli.machines.forks import FEWEST, on_all_cores

MANY = range(2 * FEWEST)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "core_count", lambda: 2)


@pytest.mark.parametrize("count", [0, 1, FEWEST - 1, FEWEST, 200])
def test_results_come_in_the_order_of_things(count: int) -> None:
    assert list(on_all_cores(lambda n: n * n, range(count))) == [n * n for n in range(count)]


def test_many_things_are_done_in_other_processes_that_hold_what_cannot_be_copied() -> None:
    lock = threading.Lock()

    def work(_: int) -> int:
        with lock:
            return os.getpid()

    found = set(on_all_cores(work, MANY))
    assert os.getpid() not in found
    assert set(on_all_cores(work, range(FEWEST - 1))) == {os.getpid()}


def test_processes_begin_once_no_other_thread_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """In them a lock that one of these held would stay locked: one of OpenCV's did so."""
    monkeypatch.setattr(forks, "_REST_SECONDS", 30.0)
    ended: list[float] = []

    def busy() -> None:
        hashlib.sha256(bytes(50_000_000))  # without Python's own lock
        ended.append(time.monotonic())

    thread = threading.Thread(target=busy)
    thread.start()
    begun = min(on_all_cores(lambda _: time.monotonic(), MANY))
    thread.join()
    assert begun > ended[0]


def test_what_goes_wrong_there_goes_wrong_here() -> None:
    with pytest.raises(ZeroDivisionError):
        list(on_all_cores(lambda n: 1 // (n - 50), MANY))


def test_a_killed_process_is_one_line_of_error() -> None:
    def work(n: int) -> None:
        if n == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(SscdError, match="perhaps for lack of memory; free some, and run"):
        list(on_all_cores(work, MANY))


def test_who_stops_early_leaves_no_process_behind() -> None:
    found = on_all_cores(lambda n: n, range(10_000))
    assert next(found) == 0
    found.close()  # type: ignore[attr-defined]
    assert multiprocessing.active_children() == []


BUSY = """
import os, time
from sscd_cli.machines import forks
forks.core_count = lambda: 2
def work(n):
    os.write(1, f"{os.getpid()}\\n".encode())  # in one piece, whatever the other process writes
    time.sleep(60)
list(forks.on_all_cores(work, range(100)))
"""


def is_there(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="threads do the work there")
def test_processes_end_with_the_one_that_was_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    children = [int(parent.stdout.readline()) for _ in range(2)]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while any(map(is_there, children)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
