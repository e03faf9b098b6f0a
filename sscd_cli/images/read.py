"""The bytes behind an `ImageRef`, from a file or from a container, and what identifies them.

Only regular files are read: a pipe or a device could wait for ever. An image that cannot be read is
a value with a reason (`Unreadable`), never an exception.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass

from sscd_cli.choices import MAX_BYTES, MAX_PIXELS
from sscd_cli.errors import reason_of
from sscd_cli.images.containers.kinds import open_container
from sscd_cli.images.reasons import reason_of_failure
from sscd_cli.images.refs import ElsewhereError, FileStatus, ImageRef
from sscd_cli.images.status import container_time, named_ref, stat_image, status_on_server
from sscd_cli.machines.hardware import lacking
from sscd_cli.storage.servers import is_url, read_url


@dataclass(frozen=True, slots=True)
class Limits:
    """Above these an image is unreadable: pixels of the original, bytes of the file."""

    pixels: int = MAX_PIXELS
    file_bytes: int = MAX_BYTES


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Copied:
    """A file whose very bytes are known already, so that it was not decoded."""

    ref: ImageRef
    file_bytes: int
    mtime_ns: int
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An image that could not be read, why (one line), and as much as is known of the file.

    content_hash: None, too, for an image above `Limits.pixels`, which a higher limit may let in.
    """

    ref: ImageRef
    error: str
    file_bytes: int | None
    mtime_ns: int | None
    content_hash: bytes | None


@dataclass(frozen=True, slots=True)
class Contents:
    """The bytes of a file and what identifies them; `content_hash` as in `Decoded`."""

    ref: ImageRef
    data: bytes
    mtime_ns: int
    content_hash: bytes

    def as_copied(self) -> Copied:
        """What stands for these bytes when they need not be decoded."""
        return Copied(self.ref, len(self.data), self.mtime_ns, self.content_hash)


def read(ref: ImageRef, limits: Limits) -> Contents | Unreadable:
    """Read the bytes of `ref`; any failure becomes an `Unreadable`.

    Raises: what says that the machine lacks memory or open files (see `hardware.lacking`).
    """
    try:
        data, status = read_bytes(ref, limits.file_bytes)
    except Exception as error:
        if lacking(error) in {"memory", "open files"}:
            raise
        return _missing(ref, error)
    return Contents(ref, data, status.mtime_ns, hash_bytes(data))


def _missing(ref: ImageRef, error: Exception) -> Unreadable:
    """The `Unreadable` of a file whose bytes could not be read."""
    try:
        status = stat_image(ref)
    except Exception:
        return Unreadable(ref, reason_of_failure(error), None, None, None)
    return Unreadable(ref, reason_of_failure(error), status.file_bytes, status.mtime_ns, None)


def hash_bytes(data: bytes) -> bytes:
    """Return the BLAKE2b-128 of some bytes, 16 bytes."""
    return hashlib.blake2b(data, digest_size=16).digest()


def content_hash(path: str) -> str:
    """Return the BLAKE2b-128 of a file's bytes, hexadecimal. Raises: OSError."""
    with open(path, "rb") as file:  # noqa: PTH123
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return digest.hexdigest()


def read_bytes(ref: ImageRef, max_bytes: int = MAX_BYTES) -> tuple[bytes, FileStatus]:
    """Return the whole contents of `ref` and the status that they had.

    Raises: OSError: missing, not readable, no regular file, above `max_bytes`, or changed while
    it was read. ValueError, EOFError, and the errors of a damaged container: a name that cannot
    be one, a container that cannot be read.
    """
    if ref.fault is not None:
        raise OSError(str(ref.fault))
    if ref.member is not None:
        try:
            return _read_member(ref, max_bytes)
        except ElsewhereError as error:
            return _read_named(ref, str(error), max_bytes)
    if is_url(ref.path):
        status = status_on_server(ref)
        _check_size(status.file_bytes or 0, max_bytes)
        data = read_url(ref.path, status.file_bytes)
        _check_size(len(data), max_bytes)
        return data, status
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
    return data, FileStatus.of(local)


def _read_named(ref: ImageRef, name: str, max_bytes: int) -> tuple[bytes, FileStatus]:
    """Read a file that a row names."""
    try:
        return read_bytes(named_ref(ref, name), max_bytes)
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
        return _read_member(ref, max_bytes)[0], b""
    except ElsewhereError as error:
        return b"", os.fsencode(str(error))


def _read_member(ref: ImageRef, max_bytes: int) -> tuple[bytes, FileStatus]:
    """Read a member of a container. Raises: ElsewhereError: it names a file instead."""
    mtime_ns = container_time(ref.path)
    container = open_container(ref.source, mtime_ns)
    _check_size(container.size(ref) or 0, max_bytes)
    data = container.read(ref, max_bytes)
    _check_size(len(data), max_bytes)
    return data, FileStatus(len(data), mtime_ns)
