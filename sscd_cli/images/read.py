"""The bytes behind an `ImageRef`, from a file or from a container.

Only regular files are read: a pipe or a device could wait for ever.
"""

from __future__ import annotations

import os
import stat
import time
from functools import lru_cache

from sscd_cli.choices import MAX_BYTES
from sscd_cli.errors import reason_of
from sscd_cli.images.containers.kinds import is_container, open_container
from sscd_cli.images.containers.listing import named_image
from sscd_cli.images.refs import (
    ElsewhereError,
    FileStatus,
    ImageRef,
    MissingMemberError,
    split_columns,
)
from sscd_cli.storage.servers import exists, is_url, join, list_folder, look, read_url


def stored_ref(source: str, id: str) -> ImageRef:
    """Return where an image lies whose key was stored: the inverse of what `iter_images` names."""
    if not source:
        return ImageRef(id, source, id)
    if is_container(source):
        path = split_columns(source)[0]
        if is_url(path) or os.path.isfile(path):  # noqa: PTH113
            return ImageRef(id, source, path, id)
    return ImageRef(id, source, join(source, id))


def local_ref(source: str, id: str) -> ImageRef | None:
    """Return the same of an image on this machine; None of one on a server."""
    return None if is_url(source or id) else stored_ref(source, id)


def is_file(source: str, id: str) -> bool:
    """Say whether a stored image is a file of this machine, and not in an archive or elsewhere."""
    if is_container(source) and not os.path.isdir(split_columns(source)[0]):  # noqa: PTH112
        return False
    return not is_url(stored_ref(source, id).path)


def is_here(source: str) -> bool:
    """Say whether anything at all lies where a stored source was."""
    try:
        return not source or exists(split_columns(source)[0])
    except OSError:
        return False


def still_there(source: str, id: str) -> bool:
    """Say whether a stored image still has a file, as far as can be known.

    True where its whole source is elsewhere (a disk that is not mounted leaves an empty folder
    or none), and for any failure but the file's being gone.
    """
    try:
        stat_image(stored_ref(source, id))
    except (FileNotFoundError, NotADirectoryError, MissingMemberError):
        return bool(source) and _is_elsewhere(split_columns(source)[0])
    except Exception:
        return True
    return True


def _is_elsewhere(path: str) -> bool:
    """Say whether a source is no file and holds nothing. Asked for each image that is gone."""
    try:
        if is_url(path):
            return _is_empty_there(path, _minute())
        if look(path).is_file:
            return False
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except OSError:
        return True


@lru_cache(maxsize=64)
def _is_empty_there(url: str, minute: int) -> bool:
    return not look(url).is_file and not list_folder(url)


def stat_image(ref: ImageRef) -> FileStatus:
    """Return the status of `ref` without reading the image.

    Of a file on a server that was just listed it is what the list said.
    Raises: OSError, ValueError, EOFError, and the errors of a damaged container: there is none.
    """
    if ref.member is not None:
        mtime_ns = _container_time(ref.path)
        return FileStatus(open_container(ref.source, mtime_ns).size(ref), mtime_ns)
    if is_url(ref.path):
        return _status_on_server(ref)
    status = os.stat(ref.path)  # noqa: PTH116  # no Path for each of ten million files
    return FileStatus(status.st_size, storable_time(status.st_mtime_ns))


def _status_on_server(ref: ImageRef) -> FileStatus:
    if ref.place is not None:
        return FileStatus(ref.place.size, ref.place.mtime_ns)
    entry = look(ref.path)
    if entry.is_folder:
        raise OSError("a folder, not a file")
    return FileStatus(entry.size, entry.mtime_ns)


def _container_time(path: str) -> int:
    """Return when a container was written, as it is known for a minute of one on a server."""
    if is_url(path):
        return _remote_time(path, _minute(), os.getpid())
    return storable_time(os.stat(path).st_mtime_ns)  # noqa: PTH116


def storable_time(mtime_ns: int) -> int:
    """Return the nearest time that 64 bits of nanoseconds can tell: of the years 1677 to 2262."""
    return max(-(1 << 63), min(mtime_ns, (1 << 63) - 1))


def _minute() -> int:
    return int(time.monotonic() // 60)


@lru_cache(maxsize=64)
def _remote_time(url: str, minute: int, process: int) -> int:
    return look(url).mtime_ns


def is_unchanged(ref: ImageRef, file_bytes: int, mtime_ns: int) -> bool:
    """Say whether an image has the size and time that were stored. Raises: as `stat_image`."""
    status = stat_image(ref)
    return status.mtime_ns == mtime_ns and status.file_bytes in {None, file_bytes}


def read_bytes(ref: ImageRef, max_bytes: int = MAX_BYTES) -> tuple[bytes, FileStatus]:
    """Return the whole contents of `ref` and the status that they had.

    Raises: OSError: missing, not readable, no regular file, above `max_bytes`, or changed while
    it was read. ValueError, EOFError, and the errors of a damaged container: a name that cannot
    be one, a container that cannot be read.
    """
    if ref.fault is not None:
        raise OSError(str(ref.fault))
    if ref.member is not None:
        return _read_member(ref, max_bytes)
    if is_url(ref.path):
        status = _status_on_server(ref)
        _check_size(status.file_bytes or 0, max_bytes)
        return read_url(ref.path, status.file_bytes or 0), status
    # without O_NONBLOCK, opening a pipe waits for its writer
    descriptor = os.open(ref.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        local = os.fstat(descriptor)
        _check(local, max_bytes)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(local.st_size + 1)
    finally:
        os.close(descriptor)
    if len(data) != local.st_size:
        raise OSError("the file changed while it was read")
    return data, FileStatus(len(data), storable_time(local.st_mtime_ns))


def _read_named(ref: ImageRef, name: str, max_bytes: int) -> bytes:
    """Read a file that a container names, relative to its own folder."""
    folder = os.path.dirname(ref.path)  # noqa: PTH120
    path = named_image(folder, name).path
    try:
        return read_bytes(ImageRef(name, "", path), max_bytes)[0]
    except OSError as error:
        raise OSError(f"the row holds only a path, {name}: {reason_of(error)}") from error


def _check(status: os.stat_result, max_bytes: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise OSError("a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise OSError("not a regular file")
    _check_size(status.st_size, max_bytes)


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise OSError(f"{size} bytes are more than the limit of {max_bytes}")


def read_held(ref: ImageRef, max_bytes: int) -> tuple[bytes, bytes]:
    """Return the bytes of an image; or none of one that its row only names, and the name.

    Raises: as `read_bytes`.
    """
    if ref.member is None:
        return read_bytes(ref, max_bytes)[0], b""
    try:
        return open_container(ref.source, _container_time(ref.path)).read(ref, max_bytes), b""
    except ElsewhereError as error:
        return b"", os.fsencode(str(error))


def _read_member(ref: ImageRef, max_bytes: int) -> tuple[bytes, FileStatus]:
    mtime_ns = _container_time(ref.path)
    container = open_container(ref.source, mtime_ns)
    _check_size(container.size(ref) or 0, max_bytes)
    try:
        data = container.read(ref, max_bytes)
    except ElsewhereError as error:
        data = _read_named(ref, str(error), max_bytes)
    _check_size(len(data), max_bytes)
    return data, FileStatus(len(data), mtime_ns)
