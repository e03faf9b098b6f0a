"""Where an image lies, whether it is there, and what tells that it has changed.

Nothing here reads an image: its bytes come from `read`.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache

from sscd_cli.images.containers.kinds import is_container, open_container
from sscd_cli.images.containers.listing import named_image
from sscd_cli.images.refs import (
    ElsewhereError,
    FileStatus,
    ImageRef,
    MissingMemberError,
    split_columns,
)
from sscd_cli.storage.servers import exists, is_url, join, list_folder, look


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

    Of a file on a server that was just listed it is what the list said; of a row that names a
    file, that of the file.
    Raises: OSError, ValueError, EOFError, and the errors of a damaged container: there is none.
        OSError, too: nothing of it tells whether it has changed.
    """
    if ref.member is not None:
        mtime_ns = container_time(ref.path)
        try:
            return FileStatus(open_container(ref.source, mtime_ns).size(ref), mtime_ns)
        except ElsewhereError as error:
            return stat_image(named_ref(ref, str(error)))
    if is_url(ref.path):
        status = status_on_server(ref)
        if status.file_bytes is None and not status.mtime_ns:
            raise OSError("the server tells neither its size nor its time")
        return status
    return FileStatus.of(os.stat(ref.path))  # noqa: PTH116  # no Path for each of ten million files


def named_ref(ref: ImageRef, name: str) -> ImageRef:
    """Return the file that a row of a table names, relative to the folder of the table."""
    folder = os.path.dirname(ref.path)  # noqa: PTH120
    return ImageRef(name, "", named_image(folder, name).path)


def status_on_server(ref: ImageRef) -> FileStatus:
    """Return the status of a file on a server. Raises: OSError: there is none."""
    if ref.place is not None:
        return FileStatus(ref.place.size, ref.place.mtime_ns)
    entry = look(ref.path)
    if entry.is_folder:
        raise OSError("a folder, not a file")
    return FileStatus(entry.size, entry.mtime_ns)


def container_time(path: str) -> int:
    """Return when a container was written, as it is known for a minute of one on a server."""
    if is_url(path):
        return _remote_time(path, _minute(), os.getpid())
    return FileStatus.of(os.stat(path)).mtime_ns  # noqa: PTH116


def _minute() -> int:
    return int(time.monotonic() // 60)


@lru_cache(maxsize=64)
def _remote_time(url: str, minute: int, process: int) -> int:
    return look(url).mtime_ns


def is_unchanged(ref: ImageRef, file_bytes: int, mtime_ns: int) -> bool:
    """Say whether an image has the size and time that were stored. Raises: as `stat_image`."""
    status = stat_image(ref)
    return status.mtime_ns == mtime_ns and status.file_bytes in {None, file_bytes}
