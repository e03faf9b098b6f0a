"""The files of a descriptor dataset: their names, reading one safely, and who may write them."""

from __future__ import annotations

import mimetypes
import os
import re
import shlex
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sscd_cli.choices import DESCRIPTORS
from sscd_cli.descriptors.parts import refuse_missing
from sscd_cli.descriptors.provenance import Provenance, difference
from sscd_cli.descriptors.schema import LATER_COLUMNS, shard_schema
from sscd_cli.errors import SscdWarning, StoreError, reason_of
from sscd_cli.machines.hardware import lacking
from sscd_cli.machines.tasks import Task
from sscd_cli.storage.files import writing
from sscd_cli.storage.locks import lock
from sscd_cli.storage.places import RemotePath, place
from sscd_cli.storage.servers import check_takes_files
from sscd_cli.text import FOOTER_KEY

LOCK = ".lock"
_SHARD = re.compile(r"shard-(\d{6,})(?:-(\d+)of(\d+))?\.parquet")


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

    Tasks share the folder's lock, which shuts out whoever needs the whole folder.
    A folder on a server has no lock; `ShardWriter` replaces no shard there.
    Raises: StoreError: another process holds it.
    """
    if isinstance(folder, RemotePath):
        yield
        return
    with ExitStack() as held:
        held.enter_context(_held(folder, LOCK, shared=bool(task)))
        if task:
            held.enter_context(_held(folder, LOCK + _suffix(task), f" part {task} of"))
        yield


@contextmanager
def _held(folder: Path, name: str, part: str = "", *, shared: bool = False) -> Iterator[None]:
    with ExitStack() as opened:
        with writing(folder):
            file = opened.enter_context((folder / name).open("a+b"))
            held = lock(file, shared=shared, of_process=True)
        if held is None:
            _warn_of_no_locks(folder)
        elif not held:
            raise _is_taken(folder, part)
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
        images, made = (shlex.quote(str(name)) for name in (folder, f"{folder}-descriptors"))
        fix = f"run sscd embed {images} -d {made}, and name {made} instead"
        raise StoreError(f"{folder} holds images, not descriptors", fix)
    where = "" if folder == DESCRIPTORS else f" -d {shlex.quote(str(folder))}"
    raise StoreError(f"there are no descriptors in {folder}", f"run sscd embed SOURCE{where} first")


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
