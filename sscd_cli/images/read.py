"""The bytes behind an `ImageRef`, from a file or from a tar archive.

Only regular files are read: a pipe or a device could wait for ever.
"""

from __future__ import annotations

import os
import stat
import tarfile
from functools import lru_cache
from typing import NamedTuple

from sscd_cli.images.sources import ImageRef

ARCHIVES_KEPT_OPEN = 16


class FileStatus(NamedTuple):
    """What tells cheaply that an image has changed: its size in bytes and when it was written.

    For a member of an archive, `mtime_ns` is the archive's: writers often fake the members'.
    """

    file_bytes: int
    mtime_ns: int


def stored_ref(source: str, id: str) -> ImageRef:
    """Return where an image lies whose key was stored: the inverse of what `iter_images` names."""
    if not source:
        return ImageRef(id, source, id)
    if os.path.isfile(source):  # noqa: PTH113
        return ImageRef(id, source, source, id)
    return ImageRef(id, source, os.path.join(source, id))  # noqa: PTH118


def still_there(source: str, id: str) -> bool:
    """Say whether a stored image still has a file, as far as can be known.

    True where its whole source is elsewhere (a disk that is not mounted leaves an empty folder
    or none), and for any failure but the file's being gone.
    """
    try:
        stat_image(stored_ref(source, id))
    except (FileNotFoundError, NotADirectoryError, MissingMemberError):
        return bool(source) and _is_elsewhere(source)
    except Exception:
        return True
    return True


def _is_elsewhere(source: str) -> bool:
    if os.path.isfile(source):  # noqa: PTH113
        return False
    try:
        with os.scandir(source) as entries:
            return not any(entries)
    except OSError:
        return True


class MissingMemberError(OSError):
    """An archive has no regular file of that name."""


def stat_image(ref: ImageRef) -> FileStatus:
    """Return the status of `ref` without reading the image.

    Raises: OSError, ValueError, tarfile.TarError, EOFError, zlib.error: there is none.
    """
    status = os.stat(ref.path)  # noqa: PTH116  # no Path for each of ten million files
    if ref.member is None:
        return FileStatus(status.st_size, status.st_mtime_ns)
    _, size = _archive(ref.path, status.st_mtime_ns).place(ref.member)
    return FileStatus(size, status.st_mtime_ns)


def read_bytes(ref: ImageRef, max_bytes: int) -> tuple[bytes, FileStatus]:
    """Return the whole contents of `ref` and the status that they had.

    Reading members of a compressed archive in their order is cheap, going back in it is not.

    Raises: OSError: missing, not readable, no regular file, above `max_bytes`, or changed while
    it was read. ValueError, tarfile.TarError, EOFError, zlib.error: a name that cannot be one, a
    damaged archive.
    """
    if ref.member is not None:
        return _read_member(ref.path, ref.member, max_bytes)
    # without O_NONBLOCK, opening a pipe waits for its writer
    descriptor = os.open(ref.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        _check(status, max_bytes)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(status.st_size + 1)
    finally:
        os.close(descriptor)
    if len(data) != status.st_size:
        raise OSError("the file changed while it was read")
    return data, FileStatus(len(data), status.st_mtime_ns)


def _check(status: os.stat_result, max_bytes: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise OSError("a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise OSError("not a regular file")
    _check_size(status.st_size, max_bytes)


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise OSError(f"{size} bytes are more than the limit of {max_bytes}")


class _Archive:
    """An open tar archive with the place (offset and length, bytes) of each regular member.

    About 250 bytes of memory a member. Of members with one name the last counts.
    """

    def __init__(self, path: str) -> None:
        self.tar = tarfile.open(path, encoding="utf-8")  # noqa: SIM115  # closed by __del__
        self.places: dict[str, tuple[int, int]] = {}
        while (member := self.tar.next()) is not None:
            self.tar.members.clear()  # type: ignore[attr-defined]
            self.places.pop(member.name, None)
            if member.isreg() and not member.issparse():
                self.places[member.name] = member.offset_data, member.size

    def __del__(self) -> None:
        if hasattr(self, "tar"):
            self.tar.close()

    def place(self, member: str) -> tuple[int, int]:
        if member not in self.places:
            raise MissingMemberError("not a regular file in the archive")
        return self.places[member]

    def read(self, member: str) -> bytes:
        offset, size = self.place(member)
        file = self.tar.fileobj
        assert file is not None  # an archive opened for reading has one
        file.seek(offset)
        data = file.read(size)
        if len(data) != size:
            raise OSError("the archive is truncated")
        return data


def _archive(path: str, mtime_ns: int) -> _Archive:
    # forked processes would share the position in an open file
    return _opened(path, mtime_ns, os.getpid())


@lru_cache(maxsize=ARCHIVES_KEPT_OPEN)
def _opened(path: str, mtime_ns: int, process: int) -> _Archive:
    return _Archive(path)


def _read_member(path: str, member: str, max_bytes: int) -> tuple[bytes, FileStatus]:
    mtime_ns = os.stat(path).st_mtime_ns  # noqa: PTH116
    archive = _archive(path, mtime_ns)
    _check_size(archive.place(member)[1], max_bytes)
    data = archive.read(member)
    return data, FileStatus(len(data), mtime_ns)
