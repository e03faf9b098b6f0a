"""The plan for many machines: what is the I-th of N parts of a job.

Nothing is handed out and nobody waits: whoever knows I and N knows the part. The same plan runs
as `--task I/N` in a Slurm array, under torchrun or in a CI matrix, and as `--engine ray`.

Embedding: an image belongs to the task that the digest of its (source, id) names, and an image
inside a container (tar, Parquet) to the task of the whole container, so that each is opened by
one machine. Neither a file that comes or goes nor the order of listing moves any other image to
another task. Each task writes shards of its own (`descriptors.shards`) and a record of whether it
is done (`descriptors.parts`). Digests are even, not equal: of a million images on 64 tasks the
fullest part is 2 % above the mean, of ten thousand containers 19 %, of a thousand 60 %.

Joining: every pair of two blocks of rows is a tile with a file of its own (`joining.tiles`,
`join`); task I of N has every N-th.

What it costs, for N images of D dimensions on G machines, B blocks (`tests/bench/bench_tasks.py`
measures the price of dividing and computes the rest): embedding N / (G · images per second), all
tasks list all folders; the join N² · D operations / G; its reading B/2 · N · 2D bytes, for each
tile reads the block that the task does not hold; memory of a task two blocks of N/B rows, stored
and shortened; of the last step, which reports, digests of names and what has a copy.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sscd_cli.errors import UsageError

MOST_TASKS = 100_000

News = TypeVar("News")


@dataclass(frozen=True, slots=True, order=True)
class Task:
    """Part `number` of `of`, counted from 1."""

    of: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Task:
        """Read "I/N".

        Raises: UsageError: it is not of that form, or I is not among 1 to N.
        """
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip())
        number, of = map(int, match.groups()) if match else (0, 0)
        if not 1 <= number <= of <= MOST_TASKS:
            raise UsageError(f"--task {text} is no part of a job", "write I/N, from 1/N to N/N")
        return cls(of, number)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def name(self) -> str:
        """How files name it: "3of8"."""
        return f"{self.number}of{self.of}"

    def holds(self, *names: str) -> bool:
        """Say whether the thing of these names (of any bytes) belongs to this part."""
        import hashlib

        digest = hashlib.blake2b(os.fsencode("\0".join(names)), digest_size=8).digest()
        return int.from_bytes(digest, "little") % self.of == self.number - 1


def all_tasks(count: int) -> list[Task]:
    """Return every part of a job of `count`."""
    return [Task(count, number) for number in range(1, count + 1)]


def spaced(tell: Callable[[News], None], seconds: float) -> Callable[[News], None]:
    """Return what tells news on, unless some were told less than so many seconds ago."""
    last = 0.0

    def tell_at_times(news: News) -> None:
        nonlocal last
        if time.monotonic() - last > seconds:
            last = time.monotonic()
            tell(news)

    return tell_at_times
