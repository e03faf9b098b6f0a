"""The members of a tar archive: their keys, where they lie, and what links among them lead to."""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO

from sscd_cli.images.refs import Place

MAX_LINKS = 40  # from one link to the next, as Linux has it


class Members:
    """Where the files of an archive lie by their keys, and which keys are links to which.

    A link leads to a key as a name does, never out of the archive. A hard link is the file that
    bore the name when the link was made, a symbolic one whatever bears it in the end.
    """

    def __init__(self, mtime_ns: int) -> None:
        self._mtime_ns = mtime_ns
        self.files: dict[str, Place | None] = {}
        self.links: dict[str, str] = {}

    def add(self, key: str, member: tarfile.TarInfo) -> None:
        """Take in the next member of the archive."""
        self.files.pop(key, None)
        self.links.pop(key, None)
        target = target_of(member)
        if member.islnk() and target in self.files:
            self.files[key] = self.files[target]
        elif target:
            self.links[key] = target
        else:
            plain = member.isreg() and not member.issparse()
            place = Place(member.offset_data, member.size, self._mtime_ns) if plain else None
            self.files[key] = place

    def way(self, key: str) -> list[str]:
        """Return the keys from a link to what it leads to, without its own."""
        way: list[str] = []
        while key in self.links and len(way) < MAX_LINKS:
            key = self.links[key]
            way.append(key)
        return way

    def place(self, key: str) -> Place | None:
        """Return where a key's bytes lie; None if it leads to no plain file in the archive."""
        return self.files.get([key, *self.way(key)][-1])


def key_of(member: tarfile.TarInfo) -> str:
    """Return a member's name as a key: without "." steps and doubled slashes."""
    return str(PurePosixPath(member.name))


def target_of(member: tarfile.TarInfo) -> str:
    """Return the key that a member is a link to, "" if it is none."""
    if member.islnk():
        return str(PurePosixPath(member.linkname))
    if member.issym():
        return posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))
    return ""


def open_tar(stream: IO[bytes]) -> tarfile.TarFile:
    """Read a stream, which is not packed, as an archive. Raises: tarfile.ReadError: it is none."""
    stream.seek(0)
    try:
        return tarfile.TarFile(fileobj=stream, encoding="utf-8")
    except tarfile.ReadError:
        raise tarfile.ReadError("not a tar archive, or cut off in its first header") from None


def members_of(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the headers of an archive, and make sure that it ends where they end.

    Raises: tarfile.ReadError: the archive ends too early; or the next header is damaged, which
        `tarfile` takes for the end. OSError, EOFError, zlib.error, lzma.LZMAError: as its
        compression says.
    """
    while (member := _next(archive)) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # it would keep every header
        yield member
    file, end = archive.fileobj, archive.offset  # type: ignore[attr-defined]
    assert file is not None  # an archive opened for reading has one
    file.seek(end)
    if any(file.read(2 * tarfile.BLOCKSIZE)):
        raise tarfile.ReadError(f"damaged header at byte {end}")


def _next(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
    try:
        return archive.next()
    except tarfile.ReadError as error:
        at = archive.offset  # type: ignore[attr-defined]
        raise tarfile.ReadError(f"truncated or damaged before byte {at}: {error}") from None
