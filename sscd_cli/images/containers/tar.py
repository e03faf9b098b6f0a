"""Tar archives, WebDataset shards among them: an image's id is its member's name."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import PurePosixPath

from sscd_cli.images.refs import ImageRef, MissingMemberError, Place, is_hidden, is_image_name
from sscd_cli.storage import open_binary


class TarContainer:
    """An open tar archive, compressed or not.

    Naming its images takes one pass over the headers and about 350 bytes of memory a member;
    reading one that a pass of this or another process has named takes one seek. Reading members
    of a compressed archive in their order is cheap, going back in it is not. Of members with one
    name the last counts, as it does for `tar -x`.
    """

    def __init__(self, source: str, mtime_ns: int) -> None:
        self._source = source
        self._mtime_ns = mtime_ns
        self._file = open_binary(source)
        self._tar = tarfile.open(fileobj=self._file, encoding="utf-8")  # noqa: SIM115

    def __del__(self) -> None:
        for file in ("_tar", "_file"):
            if hasattr(self, file):
                getattr(self, file).close()

    @cached_property
    def _places(self) -> dict[str, tuple[str, Place | None]]:
        """Each image's member name, and its place; no place for a link or a device."""
        places: dict[str, tuple[str, Place | None]] = {}
        for member in members_of(self._tar):
            key = str(PurePosixPath(member.name))
            if not member.isdir() and is_image_name(key) and not is_hidden(key):
                places.pop(key, None)
                places[key] = member.name, self._place_of(member)
        return places

    def _place_of(self, member: tarfile.TarInfo) -> Place | None:
        plain = member.isreg() and not member.issparse()
        return Place(member.offset_data, member.size, self._mtime_ns) if plain else None

    def refs(self) -> Iterator[ImageRef]:
        """Name the members with an image extension, also links, which turn out unreadable."""
        for key, (name, place) in self._places.items():
            yield ImageRef(key, self._source, self._source, name, place)

    def size(self, ref: ImageRef) -> int:
        """Return a member's size. Raises: MissingMemberError: no regular file of that name."""
        return self._place(ref).size

    def read(self, ref: ImageRef) -> bytes:
        """Return a member's bytes. Raises: OSError: the archive is truncated."""
        place = self._place(ref)
        file = self._tar.fileobj
        assert file is not None  # an archive opened for reading has one
        file.seek(place.offset)
        data = file.read(place.size)
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


def members_of(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the headers of an archive, and make sure that it ends where they end.

    Raises: tarfile.ReadError: the next header is damaged, which `tarfile` takes for the end.
    """
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # it would keep every header
        yield member
    file, end = archive.fileobj, archive.offset  # type: ignore[attr-defined]
    assert file is not None  # an archive opened for reading has one
    file.seek(end)
    if any(file.read(2 * tarfile.BLOCKSIZE)):
        raise tarfile.ReadError(f"damaged header at byte {end}")
