"""Where something is written before it takes its name: hidden and locked, beside its place.

`.NAME.0123abcd.part` is the file, or the folder around the output, of one writer, who holds its
lock as long as he lives. One without a lock was left by a writer that was killed: it goes when
NAME is written next. Where a file system knows no locks, it stays.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def unfinished_file(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
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
    folder, lock = _new_folder(path)
    with lock:
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
            if _lock(file):
                part.unlink()
        return
    try:
        with _lock_of(part, name).open("r+b") as file:
            if _lock(file):
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
    return _lock(file) is not False and os.fstat(file.fileno()).st_nlink > 0


def _lock(file: BinaryIO) -> bool | None:
    """Lock an open file until it is closed: False if another holds it, None if nobody can."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
