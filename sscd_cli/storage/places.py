"""Folders and files on servers as `Path` objects, so that a dataset may lie there, too."""

from __future__ import annotations

import fnmatch
import io
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PosixPath
from typing import Any, BinaryIO

from sscd_cli.storage import servers

# a URL that has gone through `Path` has lost one of its slashes
_URL = re.compile(f"{servers.SCHEMES}:/+", re.IGNORECASE)


def place(path: str | Path) -> Path:
    """Return a path here, or one on a server where `path` is a URL (s3://bucket/folder)."""
    text = servers.without_file_scheme(re.sub(r"^file:/+", "file:///", os.fspath(path)))
    return RemotePath(text) if _URL.match(text) else Path(text)


def base_of(folder: str, page: Path | None) -> str:
    """Return a folder as seen from where a page lies, by default in the folder itself."""
    if page is None or isinstance(page, RemotePath):
        return "."
    return os.path.relpath(folder, os.path.dirname(os.path.abspath(page)))  # noqa: PTH100, PTH120


def absolute(path: Path) -> str:
    """Return the whole name of a path here, or the URL of one on a server."""
    return str(path) if isinstance(path, RemotePath) else os.path.abspath(path)  # noqa: PTH100


class RemotePath(PosixPath):
    """A path on a server with those methods of `Path` that datasets and reports need.

    A file is written by one request when it is closed, and shows up whole. There are no folders
    but by the names in them. Raises: OSError, as `servers` does.
    """

    def __str__(self) -> str:
        return _URL.sub(r"\1://", super().__str__(), count=1)

    def __fspath__(self) -> str:
        return str(self)

    def resolve(self, strict: bool = False) -> RemotePath:
        """Return itself: there are no links."""
        return self

    def exists(self, **_: Any) -> bool:
        """Whether a file or anything below this name is there."""
        return servers.exists(str(self))

    def is_dir(self, **_: Any) -> bool:
        """Whether anything is below this name."""
        return self.exists() and servers.look(str(self)).is_folder

    def is_file(self, **_: Any) -> bool:
        """Whether this is a file."""
        return self.exists() and servers.look(str(self)).is_file

    def iterdir(self) -> Iterator[RemotePath]:  # type: ignore[override]
        """Yield what lies in this folder."""
        return (self / name for name in servers.list_folder(str(self)))

    def glob(self, pattern: str, **_: Any) -> Iterator[RemotePath]:  # type: ignore[override]
        """Yield what lies in this folder itself and matches."""
        if self.exists():
            yield from (p for p in self.iterdir() if fnmatch.fnmatchcase(p.name, pattern))

    def stat(self, **_: Any) -> os.stat_result:
        """Return size and time; nothing else is known."""
        entry = servers.look(str(self))
        kind = stat.S_IFDIR if entry.is_folder else stat.S_IFREG
        fields = (kind, 0, 0, 1, 0, 0, entry.size or 0, 0, entry.mtime_ns // 10**9, 0)
        # a program may set all but the nanoseconds by their place
        return os.stat_result(fields, {"st_mtime_ns": entry.mtime_ns})

    def mkdir(self, *_: Any, **__: Any) -> None:
        """Do nothing: a folder is there as soon as a file is in it."""

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove a file."""
        if self.exists() or not missing_ok:
            servers.remove_url(str(self))

    def open(self, mode: str = "r", *_: Any, **__: Any) -> BinaryIO:  # type: ignore[override]
        """Open a file in binary mode, for reading or for writing it anew."""
        if mode == "rb":
            return servers.open_binary(str(self))
        if mode != "wb":
            raise io.UnsupportedOperation(f"mode {mode} on a server")
        return _Upload(str(self))

    def read_bytes(self) -> bytes:
        """Return a file's bytes."""
        return servers.read_url(str(self), servers.look(str(self)).size)

    def write_bytes(self, data: Any) -> int:
        """Write a file whole."""
        servers.write_url(str(self), bytes(data))
        return len(data)

    def write_new(self, data: bytes) -> None:
        """Write a file whole that must not be there. Raises: FileExistsError: another one is."""
        try:
            servers.write_url(str(self), data, new=True)
        except FileExistsError:
            if self.read_bytes() != data:  # otherwise an earlier try of ours came through
                raise


class _Upload(io.BytesIO):
    """What is written goes to the server on closing, and nowhere if an error came before."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is None:
            servers.write_url(self._url, self.getvalue())
        super().__exit__(kind, error, traceback)


def working_folder() -> str:
    """Return the folder, with its slash, to which `shown_path` shall shorten."""
    return os.path.join(os.getcwd(), "")  # noqa: PTH109, PTH118


def shown_path(path: str, here: str) -> str:
    """Return a path relative to the folder `here` (with its slash) if it lies below.

    A name that begins with a dash gets "./" before it, so that `xargs rm` sees no option.
    """
    short = path.removeprefix(here) or path
    return f"./{short}" if short.startswith("-") else short
