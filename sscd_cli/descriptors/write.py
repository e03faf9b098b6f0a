"""Write descriptors as they come: full shards at once, nothing half-written ever."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from sscd_cli.descriptors.parts import Part, read_parts
from sscd_cli.descriptors.provenance import Provenance, difference
from sscd_cli.descriptors.schema import Row, to_parquet, to_table
from sscd_cli.descriptors.shards import (
    locked,
    refuse_foreign_folder,
    remove_leftovers,
    shard_number,
    shard_path,
    shard_paths,
    shard_provenance,
)
from sscd_cli.errors import ModelError, SscdError, StoreError
from sscd_cli.machines.tasks import Task
from sscd_cli.storage.files import whole_file, writing

ROWS_PER_SHARD = 4096


class ShardWriter:
    """Append rows to a descriptor dataset; a context manager, one at a time per folder.

    Every `rows_per_shard` rows become a shard, complete or absent: a killed process loses only
    the open one. Leaving the context writes the open rows, after Ctrl-C and after an error in what
    was to come, too; any other exception drops them, for they may be what is wrong.

    Of a dataset that several machines write, a writer for one `task` holds that part's lock, names
    its shards after it, and keeps the part's record (see `parts`). command: the line that the
    tasks share. A run over everything completes what tasks of the same command began.

    Raises: StoreError: on entering, if the folder holds images, another model's shards or a
        damaged one, or another process writes to it; later, if the disk is full or the folder
        cannot be written. Nothing half-written is left.
    Limits: memory is one shard's rows, twice while it is written. A dataset on a server knows no
        locks: of two runs that write the same shard the later one fails.
    """

    def __init__(
        self,
        folder: Path,
        provenance: Provenance,
        rows_per_shard: int = ROWS_PER_SHARD,
        *,
        task: Task | None = None,
        command: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.provenance = provenance
        self.task = task
        self._part = Part(task or Task(1, 1), tuple(command))
        self._rows_per_shard = rows_per_shard
        self._rows: list[Row] = []
        self._number = 0
        self._held = ExitStack()

    def __enter__(self) -> ShardWriter:
        with writing(self.folder):
            refuse_foreign_folder(self.folder)
            self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            held.enter_context(locked(self.folder, self.task))
            remove_leftovers(self.folder, self.task)
            paths = shard_paths(self.folder, self.task)
            for path in paths or shard_paths(self.folder)[:1]:
                self._refuse_mixing(path)
            self._number = shard_number(paths[-1]) + 1 if paths else 0
            if self.task:
                self._record(done=False)
            self._held = held.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._held:
            if self._rows and (kind is None or _leaves_rows_sound(kind)):
                self._close_shard()
            if kind is None:
                self._record(done=True)

    def _record(self, *, done: bool) -> None:
        """Note the state of this part; a run over everything does so where tasks began it."""
        if self.task or read_parts(self.folder):
            part = replace(self._part, done=done)
            with writing(self.folder):
                part.save(self.folder)

    def add(self, rows: Sequence[Row]) -> npt.NDArray[np.int64]:
        """Take rows, and write each shard that becomes full.

        Returns: each row's place, `shard number << 32 | row in the shard`, as `Ledger.note` wants.
        Raises: StoreError: a shard could not be written. ModelError: a descriptor is not finite.
            ValueError: a descriptor of another length than the model's.
        """
        places = np.empty(len(rows), np.int64)
        for index, row in enumerate(rows):
            places[index] = self._number << 32 | len(self._rows)
            self._rows.append(row)
            if len(self._rows) == self._rows_per_shard:
                self._close_shard()
        return places

    def _close_shard(self) -> None:
        payload = to_parquet(to_table(self._rows, self.provenance))
        path = shard_path(self.folder, self._number, self.task)
        with writing(self.folder), whole_file(path, new=True) as file:
            file.write(payload)
        self._number += 1
        self._rows = []

    def _refuse_mixing(self, path: Path) -> None:
        there = shard_provenance(path)
        contrast = difference(there, self.provenance)
        if contrast:
            fix = f"choose another folder with -d, or remove {self.folder}"
            word = there.precision.partition("-")[0]
            only_precision = not difference(
                there, replace(self.provenance, precision=there.precision)
            )
            if only_precision and not self.provenance.precision.startswith(word):
                fix = f"use --precision {word}, or {fix}"
            raise StoreError(
                f"{path} holds descriptors that cannot be mixed with this run's: {contrast}",
                fix,
            )


def _leaves_rows_sound(kind: type[BaseException]) -> bool:
    """Whether what ended a run says nothing against the rows so far: an interrupt, a bad source."""
    in_source = issubclass(kind, SscdError) and not issubclass(kind, StoreError | ModelError)
    return in_source or issubclass(kind, KeyboardInterrupt)
