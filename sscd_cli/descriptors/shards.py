"""The files of a descriptor dataset: their names, reading one safely, and which parts are done.

Where several tasks write it, each leaves a record beside the shards: not done while it runs or
after a failure, done at its end (`part-<I>of<N>-<digest of the command>.json`). A reader so knows
the missing parts by name, and what to type for them. Without records (one machine, or a copy of
the shards alone) nothing is missing.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import mimetypes
import os
import re
import shlex
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sscd_cli.descriptors.provenance import Provenance, difference
from sscd_cli.descriptors.schema import LATER_COLUMNS, shard_schema
from sscd_cli.errors import SscdWarning, StoreError, reason_of
from sscd_cli.machines.hardware import lacking
from sscd_cli.machines.tasks import Task, all_tasks
from sscd_cli.storage.files import whole_file, writing
from sscd_cli.storage.places import RemotePath, place
from sscd_cli.storage.servers import check_takes_files
from sscd_cli.text import FOOTER_KEY

LOCK = ".lock"
# what file systems without locks answer (Lustre and NFS as some mount them)
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
_SHARD = re.compile(r"shard-(\d{6,})(?:-(\d+)of(\d+))?\.parquet")
_RECORD = re.compile(r"part-\d+of\d+-[0-9a-f]{8}\.json")
_NAMED = 10  # parts that an error lists by name


def shard_path(folder: Path, number: int, task: Task | None = None) -> Path:
    """Return where shard `number` lies; each task numbers its own."""
    return folder / f"shard-{number:06d}{_suffix(task)}.parquet"


def _suffix(task: Task | None) -> str:
    return f"-{task.name}" if task else ""


def shard_number(path: Path) -> int:
    """Return the number in a shard's name."""
    return _age(path)[0]


def shard_task(path: Path) -> Task | None:
    """Return the task that wrote a shard, None for a run over everything."""
    _, of, number = _age(path)
    return Task(of, number) if of else None


def _age(path: Path) -> tuple[int, int, int]:
    """Return what puts shards in order: of one image's rows the newest comes last.

    A run numbers its shards after all that it finds, and an image has one task in each division.
    """
    match = _SHARD.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path} is no shard")
    return int(match[1]), int(match[3] or 0), int(match[2] or 0)


def shard_paths(folder: Path, task: Task | None = None) -> list[Path]:
    """List the complete shards of a folder, oldest first; none where there is no folder.

    task: leave out the shards that hold none of its images: those of its fellow tasks.
    """
    try:
        shards = [path for path in folder.iterdir() if _SHARD.fullmatch(path.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable_file(folder, error) from error
    return sorted((path for path in shards if not _is_fellow(path, task)), key=_age)


def dataset_at(name: str) -> Path | None:
    """Return the folder of a descriptor dataset, here or at a URL; None if it is something else."""
    folder = place(name)
    return folder if shard_paths(folder) else None


def _is_fellow(path: Path, task: Task | None) -> bool:
    writer = shard_task(path)
    return bool(task and writer and writer.of == task.of and writer != task)


@contextmanager
def locked(folder: Path, task: Task | None = None) -> Iterator[None]:
    """Be the only process that changes `folder`, or the only one that runs `task` beside others.

    Tasks share the folder's lock, which shuts out whoever needs the whole folder. The lock ends
    with the process, however it ends. It is a record lock, which forked workers do not inherit:
    they may outlive a killed run by seconds and must not block the next one.
    A folder on a server has no lock; `ShardWriter` replaces no shard there.
    Raises: StoreError: another process holds it.
    """
    if isinstance(folder, RemotePath):
        yield
        return
    with ExitStack() as held:
        held.enter_context(_lock(folder, LOCK, fcntl.LOCK_SH if task else fcntl.LOCK_EX, ""))
        if task:
            part = f" part {task} of"
            held.enter_context(_lock(folder, LOCK + _suffix(task), fcntl.LOCK_EX, part))
        yield


@contextmanager
def _lock(folder: Path, name: str, kind: int, part: str) -> Iterator[None]:
    with ExitStack() as held:
        with writing(folder):
            file = held.enter_context((folder / name).open("a+b"))
            try:
                fcntl.lockf(file, kind | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in NO_LOCKS:
                    _warn_of_no_locks(folder)
                elif error.errno in {errno.EAGAIN, errno.EACCES}:
                    raise _is_taken(folder, part) from None
                else:
                    raise
        yield


def _is_taken(folder: Path, part: str) -> StoreError:
    what = f"another sscd is writing to{part} {folder}"
    return StoreError(what, "wait for it to end, or choose another place with -d")


@cache
def _warn_of_no_locks(folder: Path) -> None:
    warnings.warn(
        f"{folder} lies on a file system without locks: see to it that no other run writes there",
        SscdWarning,
        stacklevel=2,
    )


def remove_leftovers(folder: Path, task: Task | None = None) -> None:
    """Remove the unfinished shards of a killed run, or of this task's; call it under the lock."""
    with writing(folder):
        for path in folder.glob(f".shard-*{_suffix(task)}.parquet*.part"):
            path.unlink(missing_ok=True)


_GROUP_ROWS = 1024  # each is laid out whole before it is written, at 14 kB a row


def to_parquet(table: pa.Table) -> pa.Buffer:
    """Return a shard's bytes: descriptors plain (they do not compress), pages with checksums."""
    stream = pa.BufferOutputStream()
    compression = dict.fromkeys(table.column_names, "zstd")
    del compression["descriptor"]
    compression["descriptor.list.element"] = "none"
    pq.write_table(
        table,
        stream,
        compression=compression,
        use_dictionary=["source", "status", "error", "format"],
        write_statistics=False,
        write_page_checksum=True,
        row_group_size=_GROUP_ROWS,
    )
    return stream.getvalue()


def read_shard(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read some columns of a shard or all, with every page's checksum verified.

    Raises: StoreError: the file is damaged, cannot be read, or is not a shard.
    """
    with _shard(path) as file:
        table: pa.Table = file.read(columns=columns)
    lacking = [name for name in LATER_COLUMNS if name not in table.column_names]
    for name in lacking if columns is None else [name for name in lacking if name in columns]:
        field = shard_schema(Provenance.from_json(table.schema.metadata[FOOTER_KEY])).field(name)
        table = table.append_column(field, pa.nulls(len(table), field.type))
    return table


def shard_provenance(path: Path) -> Provenance:
    """Read what made a shard from its footer.

    Raises: StoreError: the file is damaged, cannot be read, or is not a shard.
    """
    with _shard(path) as file:
        return _provenance(path, file.schema_arrow)


def shard_rows(path: Path) -> int:
    """Read from a shard's footer how many rows it holds. Raises: as `shard_provenance`."""
    with _shard(path) as file:
        return int(file.metadata.num_rows)


def common_provenance(paths: Sequence[Path]) -> Provenance:
    """Return what made the first of some shards, once all prove to be comparable with it.

    Its `dtype` becomes float32 if any shard stores that.
    Raises: StoreError: two shards are not comparable; names both.
    """
    common = shard_provenance(paths[0])
    for path in paths[1:]:
        provenance = shard_provenance(path)
        contrast = difference(common, provenance)
        if contrast:
            what = f"{paths[0]} and {path.name} cannot be compared: {contrast}"
            raise StoreError(what, "keep them in two folders, and name one with -d")
        if provenance.dtype == "float32":
            common = replace(common, dtype="float32")
    return common


@contextmanager
def _shard(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with ExitStack() as opened:
            there = isinstance(path, RemotePath)
            source = opened.enter_context(path.open("rb")) if there else path
            parquet = pq.ParquetFile(source, page_checksum_verification=True)
            file = opened.enter_context(parquet)
            _provenance(path, file.schema_arrow)
            yield file
    except (FileNotFoundError, PermissionError) as error:
        raise unreadable_file(path, error) from error
    except (OSError, pa.ArrowException, ValueError) as error:
        if lacking(error):
            raise
        raise StoreError(f"{path} is damaged", "delete it and run sscd embed again") from error


def _provenance(path: Path, schema: pa.Schema) -> Provenance:
    try:
        provenance = Provenance.from_json((schema.metadata or {})[FOOTER_KEY])
        expected = shard_schema(provenance)
        if schema.equals(expected) or schema.equals(_earlier(expected)):
            return provenance
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    raise StoreError(
        f"{path} is no descriptor shard of this version of sscd",
        "move it out of the folder and run sscd embed again",
    )


def _earlier(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field for field in schema if field.name not in LATER_COLUMNS])


def unreadable_file(path: Path, error: OSError) -> StoreError:
    """Return the error for a file or folder that the system does not let us read."""
    if isinstance(error, FileNotFoundError):
        return StoreError(f"{path} vanished while it was read", "run the same command again")
    return StoreError(f"cannot read {path}: {reason_of(error)}", "allow reading it")


def existing_shards(folder: Path) -> list[Path]:
    """List the shards of a folder that must have some, oldest first.

    Raises: StoreError: there are none; says whether the folder holds images instead. A task's
        part is missing.
    """
    refuse_missing(folder)
    paths = shard_paths(folder)
    if paths:
        return paths
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file", "name a folder of descriptors with -d")
    if _holds_images(folder):
        fix = f"run sscd embed {shlex.quote(str(folder))} first"
        raise StoreError(f"{folder} holds images, not descriptors", fix)
    raise StoreError(f"there are no descriptors in {folder}", "run sscd embed SOURCE first")


def _holds_images(folder: Path) -> bool:
    """Look for an image by name, in the first hundred folders below `folder`."""
    names = (name for _, _, files in islice(os.walk(folder), 100) for name in files)
    return any((mimetypes.guess_type(name)[0] or "").startswith("image/") for name in names)


def refuse_foreign_folder(folder: Path) -> None:
    """Refuse to mix shards into a folder that holds something else.

    Raises: StoreError: `folder` is a file, or holds visible files but neither a shard nor the
        lock of an earlier run. OSError: its server takes no files, or does not answer.
    """
    if isinstance(folder, RemotePath):
        check_takes_files(str(folder))
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file", "choose another place with -d")
    if not folder.exists() or shard_paths(folder) or (folder / LOCK).exists():
        return
    if any(not entry.name.startswith(".") for entry in folder.iterdir()):
        kind = "images" if _holds_images(folder) else "other files"
        what = f"{folder} holds {kind}, not descriptors"
        raise StoreError(what, "choose a new or empty folder with -d")


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
        record = json.loads(path.read_bytes())
        return Part(Task.parse(record["task"]), tuple(record["words"]), record["done"] is True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        fix = "delete it and run that task again"
        raise StoreError(f"{path} is damaged", fix) from error
