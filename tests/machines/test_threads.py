"""Work ahead of whoever takes it: in order, not too far, and not after the end."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import sleep

import pytest

from sscd_cli.machines.threads import in_order


def test_results_keep_the_order_of_things_and_no_more_are_drawn_than_worked_on() -> None:
    drawn: list[int] = []

    def things() -> Iterator[int]:
        for thing in range(20):
            drawn.append(thing)
            yield thing

    def work(thing: int) -> int:
        sleep(0.002 * (20 - thing))
        return thing

    with ThreadPoolExecutor(4) as pool:
        for taken, made in enumerate(in_order(pool, 5, work, things())):
            assert made == taken
            assert len(drawn) <= taken + 6


def test_what_waits_is_not_begun_after_a_failure() -> None:
    begun: list[int] = []
    failed = Event()

    def work(thing: int) -> None:
        begun.append(thing)
        if thing == 1:
            raise ValueError("one")
        if thing == 2:
            failed.wait(10)

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(ValueError, match="one"):
            list(in_order(pool, 8, work, range(20)))
        failed.set()
    assert begun in ([0, 1], [0, 1, 2])
