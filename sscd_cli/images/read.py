"""The bytes behind an `ImageRef`, from a file or from a container.

Only regular files are read: a pipe or a device could wait for ever.
"""

from __future__ import annotations

import os
import stat

from sscd_cli.images.columns import split_columns
from sscd_cli.images.containers.kinds import MissingMemberError, is_container, open_container
from sscd_cli.images.refs import FileStatus, ImageRef


def stored_ref(source: str, id: str) -> ImageRef:
    """Return where an image lies whose key was stored: the inverse of what `iter_images` names."""
    if not source:
        return ImageRef(id, source, id)
    if is_container(source):
        path = split_columns(source)[0]
        if os.path.isfile(path):  # noqa: PTH113
            return ImageRef(id, source, path, id)
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
    if os.path.isfile(split_columns(source)[0]):  # noqa: PTH113
        return False
    try:
        with os.scandir(source) as entries:
            return not any(entries)
    except OSError:
        return True


def stat_image(ref: ImageRef) -> FileStatus:
    """Return the status of `ref` without reading the image.

    Raises: OSError, ValueError, EOFError, and the errors of a damaged container: there is none.
    """
    status = os.stat(ref.path)  # noqa: PTH116  # no Path for each of ten million files
    if ref.member is None:
        return FileStatus(status.st_size, status.st_mtime_ns)
    size = open_container(ref.source, status.st_mtime_ns).size(ref)
    return FileStatus(size, status.st_mtime_ns)


def is_unchanged(ref: ImageRef, file_bytes: int, mtime_ns: int) -> bool:
    """Say whether an image has the size and time that were stored. Raises: as `stat_image`."""
    status = stat_image(ref)
    return status.mtime_ns == mtime_ns and status.file_bytes in {None, file_bytes}


def read_bytes(ref: ImageRef, max_bytes: int) -> tuple[bytes, FileStatus]:
    """Return the whole contents of `ref` and the status that they had.

    Raises: OSError: missing, not readable, no regular file, above `max_bytes`, or changed while
    it was read. ValueError, EOFError, and the errors of a damaged container: a name that cannot
    be one, a container that cannot be read.
    """
    if ref.member is not None:
        return _read_member(ref, max_bytes)
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


def _read_member(ref: ImageRef, max_bytes: int) -> tuple[bytes, FileStatus]:
    mtime_ns = os.stat(ref.path).st_mtime_ns  # noqa: PTH116
    container = open_container(ref.source, mtime_ns)
    _check_size(container.size(ref) or 0, max_bytes)
    data = container.read(ref)
    _check_size(len(data), max_bytes)
    return data, FileStatus(len(data), mtime_ns)
