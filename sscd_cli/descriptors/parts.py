"""Which parts of a dataset that several tasks write are done.

Each task leaves a record beside the shards: not done while it runs or after a failure, done at its
end (`part-<I>of<N>-<digest of the command>.json`). A reader so knows the missing parts by name, and
what to type for them. Without records (one machine, or a copy of the shards alone) nothing is
missing.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sscd_cli.errors import StoreError
from sscd_cli.machines.tasks import Task, all_tasks
from sscd_cli.storage.files import whole_file
from sscd_cli.text import from_json

_RECORD = re.compile(r"part-\d+of\d+-[0-9a-f]{8}\.json")
_NAMED = 10  # parts that an error lists by name


@dataclass(frozen=True, slots=True)
class Part:
    """One task's state. command: the line that all tasks of the job share."""

    task: Task
    command: tuple[str, ...]
    done: bool = False

    @property
    def name(self) -> str:
        """The name of its record."""
        digest = hashlib.blake2b("\0".join(self.command).encode(errors="surrogateescape"))
        return f"part-{self.task.name}-{digest.hexdigest()[:8]}.json"

    def save(self, folder: Path) -> None:
        """Write the record into `folder`, in place of an earlier one. Raises: OSError."""
        record = {"task": str(self.task), "words": self.command, "done": self.done}
        with whole_file(folder / self.name) as file:
            file.write(json.dumps(record).encode())


def read_parts(folder: Path) -> list[Part]:
    """Read the records of a folder, in order of their tasks.

    Raises: StoreError: a record is damaged.
    """
    try:
        paths = [path for path in folder.iterdir() if _RECORD.fullmatch(path.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(map(_read, paths), key=lambda part: part.task)


def division(folder: Path, command: Sequence[str]) -> int | None:
    """Return into how many parts a job was divided that was begun here, the one done furthest."""
    parts = [part for part in read_parts(folder) if part.command == tuple(command)]
    counts = {part.task.of for part in parts if part.task.of > 1}
    return min(counts, key=lambda count: len(_missing(parts, count)), default=None)


def refuse_missing(folder: Path) -> None:
    """Refuse a dataset whose tasks are not all done.

    A job is done when all its N parts are, for any N: it may be given up for another division,
    or for one run over everything, which counts as 1/1.
    Raises: StoreError: parts are missing; names them and the command for the first.
    """
    jobs: dict[tuple[str, ...], list[Part]] = defaultdict(list)
    for part in read_parts(folder):
        jobs[part.command].append(part)
    for command, parts in jobs.items():
        divisions = {part.task.of for part in parts}
        missing = min((_missing(parts, count) for count in divisions), key=len)
        if missing:
            raise missing_parts(missing, f"{folder}", command)


def missing_parts(missing: Sequence[Task], whole: str, command: Iterable[str]) -> StoreError:
    """Return the error that names missing parts and the command for the first."""
    names = ", ".join(map(str, missing[:_NAMED]))
    more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
    many, verb = ("parts", "are") if len(missing) > 1 else ("part", "is")
    what = f"{many} {names}{more} of {whole} {verb} missing"
    return StoreError(what, f"run {shlex.join(command)} --task {missing[0]}")


def _missing(parts: Iterable[Part], count: int) -> list[Task]:
    """Return the tasks that a division into `count` lacks."""
    done = {part.task for part in parts if part.done}
    return [task for task in all_tasks(count) if task not in done]


def _read(path: Path) -> Part:
    try:
        record = from_json(path.read_bytes())
        return Part(Task.parse(record["task"]), tuple(record["words"]), record["done"] is True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        fix = "delete it and run that task again"
        raise StoreError(f"{path} is damaged", fix) from error
