"""Tar archives, WebDataset shards among them: an image's id is its member's name."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import IO, cast

from sscd_cli.images.containers.tar_members import Members, key_of, members_of, seekable
from sscd_cli.images.refs import ImageRef, MissingMemberError, Place, is_hidden, is_image_name
from sscd_cli.storage.servers import open_binary

REWINDS = 3  # one follows naming, and one more each of the two readings of `sscd filter`


class TarContainer:
    """An open tar archive, compressed or not.

    Naming its images takes one pass over the headers (two where links lead to members that are no
    images) and about 350 bytes of memory a member; reading one that a pass of this or another
    process has named takes one seek. Reading members of a compressed archive in their order is
    cheap; one that is read otherwise is unpacked into a temporary file. Of members with one name
    the last counts, as it does for `tar -x`. A link is the file in the archive that it leads to.
    """

    def __init__(self, source: str, mtime_ns: int) -> None:
        self._source = source
        self._mtime_ns = mtime_ns
        self._file = open_binary(source)
        self._open()

    def __del__(self) -> None:
        for file in ("_stream", "_tar", "_file"):
            if hasattr(self, file):
                getattr(self, file).close()

    def _open(self) -> None:
        self._file.seek(0)
        self._tar = tarfile.open(fileobj=self._file, encoding="utf-8")  # noqa: SIM115
        self._stream = cast("IO[bytes]", self._tar.fileobj)
        self._rewinds = 0

    @cached_property
    def _places(self) -> dict[str, tuple[str, Place | None]]:
        """Each image's member name, and its place; no place for what is no file in the archive."""
        names, members = self._listed(is_image_name)
        targets = set(members.links.values())
        if not targets <= members.files.keys() | members.links.keys():
            self._open()
            names, members = self._listed(lambda key: is_image_name(key) or key in targets)
        return {key: (name, members.place(key)) for key, name in names.items()}

    def _listed(self, wanted: Callable[[str], bool]) -> tuple[dict[str, str], Members]:
        """Make a pass: the images' names by their keys, and where the `wanted` files are."""
        names: dict[str, str] = {}
        members = Members(self._mtime_ns)
        for member in members_of(self._tar):
            key = key_of(member)
            if member.issym() or member.islnk() or wanted(key):
                members.add(key, member)
            if not member.isdir() and is_image_name(key) and not is_hidden(key):
                names.pop(key, None)
                names[key] = member.name
        return names, members

    def refs(self) -> Iterator[ImageRef]:
        """Name the members with an image extension, also those that turn out unreadable."""
        for key, (name, place) in self._places.items():
            yield ImageRef(key, self._source, self._source, name, place)

    def size(self, ref: ImageRef) -> int:
        """Return a member's size. Raises: MissingMemberError: no regular file of that name."""
        return self._place(ref).size

    def read(self, ref: ImageRef) -> bytes:
        """Return a member's bytes. Raises: OSError: the archive is truncated."""
        place = self._place(ref)
        if place.offset < self._stream.tell():
            self._rewinds += 1
        if self._rewinds > REWINDS:
            self._stream = seekable(self._stream)
            self._rewinds = 0
        self._stream.seek(place.offset)
        data = self._stream.read(place.size)
        if len(data) != place.size:
            raise OSError("the archive is truncated")
        return data

    def _place(self, ref: ImageRef) -> Place:
        if ref.place is not None and ref.place.mtime_ns == self._mtime_ns:
            return ref.place
        _, place = self._places.get(ref.id, ("", None))
        if place is None:
            raise MissingMemberError("not a regular file in the archive")
        return place
