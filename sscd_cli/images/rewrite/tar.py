"""A tar archive without some images: what stays keeps its bytes, headers and padding included."""

from __future__ import annotations

import copy
import tarfile
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import IO, Any

from sscd_cli.images.containers.packing import opened, packing, unpack, writer
from sscd_cli.images.containers.tar_members import (
    Members,
    key_of,
    members_of,
    open_tar,
    target_of,
)
from sscd_cli.images.refs import Place, is_hidden, is_image_name
from sscd_cli.storage.servers import open_binary

CHUNK_BYTES = 1 << 20

_Broken = tuple[tarfile.TarInfo, Place]


@dataclass(frozen=True, slots=True)
class _Member:
    """Where a member lies, from its first header to its padding; what lies before is no member.

    link: its header, if it is one. place: of the file that a hard link was made to.
    """

    key: str
    start: int
    end: int
    link: tarfile.TarInfo | None
    place: Place | None

    @property
    def sample(self) -> str:
        """What WebDataset calls the key: the name up to the first dot of its last part."""
        folder, slash, name = self.key.rpartition("/")
        return f"{folder}{slash}{name.partition('.')[0]}"

    @property
    def is_image(self) -> bool:
        return is_image_name(self.key) and not is_hidden(self.key)


def rewrite_tar(source: str, target: str, removed: Set[str]) -> int:
    """Write `source` to `target` without the images `removed`, compressed as it is.

    With the last image of a WebDataset sample the other members of the sample go, too; their
    number is returned. A link that stays while what it leads to goes becomes a file.
    Raises: ValueError: what such a link leads to is no plain file; and what `tarfile` raises.
    """
    with open_binary(source) as file, opened(file) as headers:
        tar = open_tar(headers)
        files = Members(0)
        members = list(_members(tar, files))
        gone = _gone(members, removed)
        broken = _broken(members, files, gone)
        kind = packing(file)
        with (
            unpack(file).file if broken and kind else opened(file) as stream,
            writer(kind, target) as output,
        ):
            end = 0
            for number, member in enumerate(members):
                _copy(stream, output, end, member.start)
                if number in broken:
                    _write_file(stream, output, *broken[number])
                elif member.key not in gone:
                    _copy(stream, output, member.start, member.end)
                end = member.end
            _close_archive(output)
    return sum(member.key in gone and member.key not in removed for member in members)


def _members(tar: tarfile.TarFile, files: Members) -> Iterator[_Member]:
    for member in members_of(tar):
        key = key_of(member)
        files.add(key, member)
        link = member if target_of(member) else None
        place = files.files.get(key) if link else None
        yield _Member(key, member.offset, tar.offset, link, place)  # type: ignore[attr-defined]


def _gone(members: list[_Member], removed: Set[str]) -> set[str]:
    """Return the keys of the members that go: removed images and what belongs to no other."""
    emptied = {m.sample for m in members if m.key in removed}
    emptied -= {m.sample for m in members if m.is_image and m.key not in removed}
    return {m.key for m in members if m.key in removed or m.sample in emptied}


def _broken(members: list[_Member], files: Members, gone: Set[str]) -> dict[int, _Broken]:
    """Return by their numbers the links that stay but would lead nowhere, and what they led to."""
    broken = {}
    for number, member in enumerate(members):
        if member.link is None or member.key in gone:
            continue
        target = target_of(member.link)
        way = [target, *files.way(target)]
        place = member.place or files.files.get(way[-1])
        if gone.isdisjoint(way) or way[-1] not in files.files:
            continue
        if place is None:
            raise ValueError(f"{member.key} is a link to {target}, which goes and is no plain file")
        broken[number] = member.link, place
    return broken


def _write_file(stream: IO[bytes], output: IO[bytes], link: tarfile.TarInfo, place: Place) -> None:
    """Write a link as the file that it led to, under its own name."""
    member = copy.copy(link)
    member.type, member.size, member.linkname = tarfile.REGTYPE, place.size, ""
    if link.issym():
        member.mode = 0o644  # that of a symbolic link says nothing
    member.pax_headers = {
        word: value for word, value in link.pax_headers.items() if word not in ("linkpath", "size")
    }
    # headers in the style of PAX come along only where there are some
    style: Any = tarfile.PAX_FORMAT if member.pax_headers else tarfile.GNU_FORMAT
    output.write(member.tobuf(style, "utf-8", "surrogateescape"))
    _copy(stream, output, place.offset, place.offset + place.size)
    output.write(bytes(-place.size % tarfile.BLOCKSIZE))


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
