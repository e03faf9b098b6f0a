"""Tar archives, WebDataset shards among them: an image's id is its member's name.

Of their members it is known where they lie, and what links among them lead to.
"""

from __future__ import annotations

import copy
import io
import posixpath
import tarfile
import threading
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import IO, Any

from sscd_cli.images.containers.packing import (
    CHUNK_BYTES,
    DAMAGE,
    ZSTANDARD,
    opened,
    packing,
    unpack,
    writer,
)
from sscd_cli.images.refs import ImageRef, MissingMemberError, Place, Survey
from sscd_cli.images.signatures import is_hidden, is_image_name
from sscd_cli.storage.servers import open_binary

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
            self.files[key] = _place_of(member, self._mtime_ns) if member.isreg() else None

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


def _place_of(member: tarfile.TarInfo, mtime_ns: int) -> Place:
    pieces: Any = member.sparse  # pairs of a beginning and a length, or None
    return Place(member.offset_data, member.size, mtime_ns, pieces and tuple(pieces))


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


REWINDS = 3


class TarContainer:
    """An open tar archive, compressed or not.

    Naming its images takes one pass over the headers and about 350 bytes of memory a member;
    reading one that a pass of this or another process has named takes one seek. A compressed
    archive is unpacked into a temporary file when its images are named, or when its members are
    read out of their order, and threads share it. Of members with one name the last counts, as it
    does for `tar -x`. A link is the file in the archive that it leads to.
    """

    def __init__(self, source: str, mtime_ns: int) -> None:
        self._source = source
        self._mtime_ns = mtime_ns
        self._lock = threading.RLock()
        self._rewinds = 0
        self._is_unpacked = False
        self._file = open_binary(source)
        self._damage: Exception | None = None
        if packing(self._file) == ZSTANDARD:  # of which there are no streams that go back
            self._stream, self._damage = unpack(self._file)
            self._is_unpacked = True
        else:
            self._stream = opened(self._file)

    def __del__(self) -> None:
        for file in ("_stream", "_file"):
            if hasattr(self, file):
                getattr(self, file).close()

    def refs(self, survey: Survey | None = None) -> Iterator[ImageRef]:
        """Name the members with an image extension, also those that turn out unreadable.

        Raises: as `members_of`, after the members before the damage.
        """
        if survey is not None:
            survey.add(self._places.beside)
        for key, (name, place) in self._places.images.items():
            yield ImageRef(key, self._source, self._source, name, place)
        if self._damage is not None:
            raise self._damage

    @cached_property
    def _places(self) -> _Places:
        """Name all members in one pass, or two where links lead to what is named as no image."""
        with self._lock:
            self._unpack()
            places, members = self._listed(is_image_name)
            targets = set(members.links.values())
            if not targets <= members.files.keys() | members.links.keys():
                places, members = self._listed(lambda key: is_image_name(key) or key in targets)
            for key, (name, _) in places.images.items():
                places.images[key] = name, members.place(key)
                if places.images[key][1] is None and (way := members.way(key)):
                    places.broken[key] = way[-1]
            return places

    def _listed(self, wanted: Callable[[str], bool]) -> tuple[_Places, Members]:
        """Make a pass: the images' names by their keys, and where the `wanted` files are."""
        places, members = _Places(), Members(self._mtime_ns)
        try:
            for member in members_of(open_tar(self._stream)):
                key = key_of(member)
                if member.issym() or member.islnk() or wanted(key):
                    members.add(key, member)
                if not member.isdir():
                    places.add(key, member.name)
        except (*DAMAGE, tarfile.TarError) as error:
            self._damage = self._damage or error
        return places, members

    def size(self, ref: ImageRef) -> int:
        """Return a member's size. Raises: MissingMemberError: no regular file of that name."""
        return self._place(ref).size

    def read(self, ref: ImageRef, max_bytes: int) -> bytes:
        """Return a member's bytes. Raises: OSError: the archive is truncated."""
        place = self._place(ref)
        data = io.BytesIO()
        with self._lock:
            if self._stream is not self._file and place.offset < self._stream.tell():
                self._rewinds += 1
                if self._rewinds > REWINDS:
                    self._unpack()
            _copy_file(self._stream, data, place)
        return data.getvalue()

    def _unpack(self) -> None:
        """Unpack what is packed where the disk has room; slow is better than not at all."""
        self._rewinds = 0
        if self._is_unpacked or not packing(self._file):
            return
        try:
            self._stream, self._damage = unpack(self._file)
            self._is_unpacked = True
        except OSError:
            self._stream = opened(self._file)

    def _place(self, ref: ImageRef) -> Place:
        if ref.place is not None and ref.place.mtime_ns == self._mtime_ns:
            return ref.place
        _, place = self._places.images.get(ref.id, ("", None))
        if place is None:
            target = self._places.broken.get(ref.id)
            what = f"a link to {target}, which is no file in" if target else "not a regular file in"
            raise MissingMemberError(f"{what} the archive")
        return place


@dataclass
class _Places:
    """Each image's member name, and its place; no place for what is no file in the archive.

    broken: what those of them that are links lead to in the end.
    """

    images: dict[str, tuple[str, Place | None]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    beside: Survey = field(default_factory=Survey)

    def add(self, key: str, name: str) -> None:
        if is_hidden(key):
            self.beside.skip(key)
        elif is_image_name(key):
            self.beside.repeated += self.images.pop(key, None) is not None
            self.images[key] = name, None
        else:
            self.beside.leave_out(key)


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
    _copy_file(stream, output, place)
    output.write(bytes(-place.size % tarfile.BLOCKSIZE))


def _copy_file(stream: IO[bytes], output: IO[bytes], place: Place) -> None:
    for start, length in place.runs():
        if start is None:
            for begin in range(0, length, CHUNK_BYTES):
                output.write(bytes(min(CHUNK_BYTES, length - begin)))
        else:
            _copy(stream, output, start, start + length)


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
