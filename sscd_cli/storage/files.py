"""Files that are complete or absent, whatever stops the program that writes them.

Something is written beside its place before it takes its name, hidden and locked:
`.NAME.0123abcd.part` is the file, or the folder around the output, of one writer, who holds its
lock as long as he lives. One without a lock was left by a writer that was killed: it goes when
NAME is written next. Where a file system knows no locks, it stays.
"""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from sscd_cli.errors import SscdError, StoreError, UsageError, cannot_write, reason_of
from sscd_cli.storage.locks import lock
from sscd_cli.storage.places import RemotePath
from sscd_cli.storage.servers import check_takes_files

ANOTHER = "name another file with -o"


@contextmanager
def whole_file(path: Path, *, new: bool = False) -> Iterator[BinaryIO]:
    """Yield a file that becomes `path` when the block ends well, and vanishes otherwise.

    The bytes go to a file of this writer alone, reach the disk, and take their
    name at once: of several writers the last one's stays. Those of a file on a server go there by
    one request. new: refuse to replace a file there, where no lock keeps others from writing it.
    Raises: OSError: the file could not be written; nothing of it is left.
    """
    if isinstance(path, RemotePath):
        with io.BytesIO() as buffer:
            yield buffer
            (path.write_new if new else path.write_bytes)(buffer.getvalue())
        return
    with _unfinished_file(path) as (part, file):
        yield file
        file.flush()
        os.fsync(file.fileno())
        part.replace(path)
    sync_folder(path.parent)


@contextmanager
def output_file(path: Path, fix: str = ANOTHER) -> Iterator[BinaryIO]:
    """Yield what a user named to write to: a whole file, reached through any link.

    A device or a named pipe is written to in its place, not replaced by a file. Where the reader
    of a pipe has closed it the block ends there, quietly: it has read enough.
    Args: fix: what the user can do if it cannot be written.
    Raises: SscdError: it cannot.
    """
    _check_folder(path, fix)
    try:
        # /dev/stdout may lead to a file that is open already
        in_place = path.exists() and (not path.is_file() or path.is_relative_to("/dev"))
        with path.open("wb") if in_place else whole_file(_led_to(path)) as file:
            yield file
    except BrokenPipeError:
        return
    except OSError as error:
        raise cannot_write(path, error, fix) from error


@contextmanager
def file_here(path: Path) -> Iterator[Path]:
    """Yield a file of this machine for readers that need one: the file itself, or a passing copy.

    Raises: OSError: it cannot be read.
    """
    if not isinstance(path, RemotePath):
        yield path
        return
    with tempfile.NamedTemporaryFile() as copy:
        copy.write(path.read_bytes())
        copy.flush()
        yield Path(copy.name)


def publish_new(made: Path, path: Path) -> None:
    """Give a finished file or folder its name, and never take that of another.

    An empty folder of that name counts for nothing.
    Raises: FileExistsError: something lies there, perhaps since a moment. OSError.
    """
    try:
        if made.is_dir():
            made.rename(path)
        else:
            _rename_new(made, path)
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(f"{path} exists") from None
        raise
    sync_folder(path.parent)


def _rename_new(made: Path, path: Path) -> None:
    try:
        path.hardlink_to(made)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: an empty file holds the name
        path.touch(exist_ok=False)
        made.replace(path)
    else:
        made.unlink()


def sync(path: Path) -> None:
    """Wait until a file, or all that lies in a folder, has reached the disk. Raises: OSError."""
    for folder, _, names in os.walk(path):
        for name in names:
            if not os.path.islink(file := os.path.join(folder, name)):  # noqa: PTH114, PTH118
                _sync(file)
        sync_folder(Path(folder))
    if path.is_file():
        _sync(str(path))


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_output(path: Path, fix: str = ANOTHER) -> None:
    """Raise SscdError where a user named what cannot be written, before any work is done for it.

    fix: what the user can do then.
    """
    _check_folder(path, fix)
    if isinstance(path, RemotePath):
        try:
            check_takes_files(str(path))
        except OSError as error:
            raise UsageError(
                f"cannot write {path}: {error}", "choose another place with -o"
            ) from None
        return
    try:
        _check_writable(path)
    except OSError as error:
        raise cannot_write(path, error, fix) from None


def _check_writable(path: Path) -> None:
    place = _led_to(path).parent
    with suppress(FileNotFoundError):
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(kind):
            place = path
    if not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _check_folder(path: Path, fix: str) -> None:
    if not isinstance(path, RemotePath) and not _led_to(path).parent.exists():
        raise SscdError(f"cannot write {path}: no such folder", f"make it first or {fix}")


def _led_to(path: Path) -> Path:
    """Return where links lead; `Path.resolve` raises RuntimeError at one that leads to itself."""
    return path if isinstance(path, RemotePath) else Path(os.path.realpath(path))


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder have reached the disk."""
    with suppress(OSError):  # some network file systems refuse it; the file itself is safe
        _sync(str(folder))


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn an OSError while writing descriptors to `place` into a StoreError with its remedy."""
    try:
        yield
    except BrokenPipeError:
        raise  # a reader that stops early is no failure
    except OSError as error:
        if isinstance(error, FileExistsError):
            what, fix = "another run is writing there", "wait for it to end, and run this again"
        elif error.errno in {errno.ENOSPC, errno.EDQUOT}:
            what, fix = "the disk is full", "free some space and run the same command again"
        else:
            what, fix = reason_of(error), "choose another place with -d"
        raise StoreError(f"cannot write to {place}: {what}", fix) from error


@contextmanager
def _unfinished_file(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Yield a new file beside `path`, name and stream; it is gone after any exception.

    Raises: OSError: it cannot be made.
    """
    remove_abandoned(path)
    part, file = _new_file(path)
    try:
        with file:
            yield part, file
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


@contextmanager
def unfinished_folder(path: Path) -> Iterator[Path]:
    """Yield a place of the name of `path` in a new folder beside it, which is gone at the end.

    Raises: OSError: the folder cannot be made.
    """
    remove_abandoned(path)
    folder, held = _new_folder(path)
    with held:
        try:
            yield folder / path.name
        finally:
            _remove_folder(folder, path.name)


def remove_abandoned(path: Path) -> None:
    """Remove what killed writers of `path` have left beside it, as far as the system lets us."""
    ours = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{8}\.part")
    with suppress(OSError):
        for part in list(path.parent.iterdir()):
            if ours.fullmatch(part.name):
                with suppress(OSError):
                    _remove_unlocked(part, path.name)


def _remove_unlocked(part: Path, name: str) -> None:
    if not part.is_dir():
        with part.open("r+b") as file:
            if lock(file):
                part.unlink()
        return
    try:
        with _lock_of(part, name).open("r+b") as file:
            if lock(file):
                _remove_folder(part, name)
    except FileNotFoundError:
        part.rmdir()  # refused by one that holds something


def _remove_folder(folder: Path, name: str) -> None:
    """Remove a writer's folder, its lock last: whoever is killed at it leaves one to tidy up."""
    made = folder / name
    if made.is_dir() and not made.is_symlink():
        shutil.rmtree(made, ignore_errors=True)
    else:
        with suppress(OSError):
            made.unlink(missing_ok=True)
    if not os.path.lexists(made):
        shutil.rmtree(folder, ignore_errors=True)


def _new_file(path: Path) -> tuple[Path, BinaryIO]:
    while True:
        part = _hidden_name(path)
        file = part.open("xb")
        if _is_ours(file):
            return part, file
        file.close()


def _new_folder(path: Path) -> tuple[Path, BinaryIO]:
    while True:
        folder = _hidden_name(path)
        folder.mkdir(0o700)
        with suppress(FileNotFoundError):  # someone who tidies up was faster
            file = _lock_of(folder, path.name).open("xb")
            if _is_ours(file):
                return folder, file
            file.close()


def _hidden_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")


def _lock_of(folder: Path, name: str) -> Path:
    return folder / f".{name}.lock"


def _is_ours(file: BinaryIO) -> bool:
    """Lock a new file; False if someone who tidies up took it for abandoned before that."""
    return lock(file) is not False and os.fstat(file.fileno()).st_nlink > 0
