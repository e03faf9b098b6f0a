"""Threads that work ahead of whoever takes what they make."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

T = TypeVar("T")
R = TypeVar("R")


def in_order(
    pool: Executor, ahead: int, work: Callable[[T], R], things: Iterable[T]
) -> Iterator[R]:
    """Yield what comes of each thing, in order, while a pool works on at most `ahead` more.

    Raises: what `work` does. Then, and where no more are asked for, none is begun any more.
    """
    begun: deque[Future[R]] = deque()
    try:
        for thing in things:
            begun.append(pool.submit(work, thing))
            if len(begun) > ahead:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for future in begun:
            future.cancel()
