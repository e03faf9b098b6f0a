"""A tar archive without some images: what stays keeps its bytes, headers and padding included."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, cast

from sscd_cli.images.containers.tar import members_of
from sscd_cli.images.refs import is_hidden, is_image_name
from sscd_cli.storage import open_binary

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Member:
    """Where a member lies, from its first header to its padding; what lies before is no member."""

    key: str
    start: int
    end: int
    hard_link_to: str

    @property
    def sample(self) -> str:
        """What WebDataset calls the key: the name up to the first dot of its last part."""
        folder, slash, name = self.key.rpartition("/")
        return f"{folder}{slash}{name.partition('.')[0]}"

    @property
    def is_image(self) -> bool:
        return is_image_name(self.key) and not is_hidden(self.key)


def rewrite_tar(source: str, target: str, removed: Set[str]) -> None:
    """Write `source` to `target` without the images `removed`, compressed as it is.

    With the last image of a WebDataset sample the other members of the sample go, too.
    Raises: ValueError: a hard link would lose what it leads to; and what `tarfile` raises.
    """
    with open_binary(source) as file, tarfile.open(fileobj=file, encoding="utf-8") as tar:
        members = list(_members(tar))
        gone = _gone(members, removed)
        _check_links(members, gone)
        stream = cast("IO[bytes]", tar.fileobj)
        with _opened_like(source, target) as output:
            end = 0
            for member in members:
                _copy(stream, output, end, member.start)
                if member.key not in gone:
                    _copy(stream, output, member.start, member.end)
                end = member.end
            _close_archive(output)


def _members(tar: tarfile.TarFile) -> Iterator[_Member]:
    for member in members_of(tar):
        link = str(PurePosixPath(member.linkname)) if member.islnk() else ""
        yield _Member(str(PurePosixPath(member.name)), member.offset, tar.offset, link)  # type: ignore[attr-defined]


def _gone(members: list[_Member], removed: Set[str]) -> set[str]:
    """Return the keys of the members that go: removed images and what belongs to no other."""
    emptied = {m.sample for m in members if m.key in removed}
    emptied -= {m.sample for m in members if m.is_image and m.key not in removed}
    return {m.key for m in members if m.key in removed or m.sample in emptied}


def _check_links(members: list[_Member], gone: Set[str]) -> None:
    for member in members:
        if member.hard_link_to in gone and member.key not in gone:
            raise ValueError(f"{member.key} is a hard link to {member.hard_link_to}, which goes")


def _opened_like(source: str, target: str) -> IO[bytes]:
    with open_binary(source) as file:
        magic = file.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(target, "wb", mtime=0))
    if magic.startswith(b"BZh"):
        return cast("IO[bytes]", bz2.open(target, "wb"))
    if magic.startswith(b"\xfd7zXZ\0"):
        return cast("IO[bytes]", lzma.open(target, "wb"))
    return open(target, "wb")  # noqa: PTH123


def _copy(stream: IO[bytes], output: IO[bytes], start: int, end: int) -> None:
    stream.seek(start)
    while start < end:
        data = stream.read(min(CHUNK_BYTES, end - start))
        if not data:
            raise OSError("the archive is truncated")
        output.write(data)
        start += len(data)


def _close_archive(output: IO[bytes]) -> None:
    """Write the two empty blocks that end an archive, and fill its last record."""
    size = output.tell() + 2 * tarfile.BLOCKSIZE
    output.write(bytes(2 * tarfile.BLOCKSIZE + -size % tarfile.RECORDSIZE))
