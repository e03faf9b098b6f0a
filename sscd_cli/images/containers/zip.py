"""Zip archives: an image's id is its member's name, which is never used as a path."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath

from sscd_cli.images.refs import ImageRef, MissingMemberError, is_hidden, is_image_name
from sscd_cli.storage.servers import open_binary


class ZipContainer:
    """An open zip archive. Of members with one name the last counts.

    Its directory takes about 600 bytes of memory a member. A member never yields more bytes than
    the directory says it has, and those are compared with the limit before any is unpacked.
    """

    def __init__(self, source: str, mtime_ns: int) -> None:
        self._source = source
        self._file = open_binary(source)
        self._zip = zipfile.ZipFile(self._file)
        self._images = dict(self._listed())

    def __del__(self) -> None:
        for file in ("_zip", "_file"):
            if hasattr(self, file):
                getattr(self, file).close()

    def _listed(self) -> Iterator[tuple[str, zipfile.ZipInfo]]:
        for info in self._zip.infolist():
            key = str(PurePosixPath(info.filename))
            if not info.is_dir() and is_image_name(key) and not is_hidden(key):
                yield key, info

    def refs(self) -> Iterator[ImageRef]:
        """Name the members with an image extension, as stored."""
        for key, info in self._images.items():
            yield ImageRef(key, self._source, self._source, info.filename)

    def size(self, ref: ImageRef) -> int:
        """Return a member's unpacked size. Raises: MissingMemberError: there is none."""
        return self._info(ref).file_size

    def read(self, ref: ImageRef) -> bytes:
        """Return a member's bytes, their checksum verified.

        Raises: zipfile.BadZipFile, zlib.error: damaged. RuntimeError: encrypted.
        """
        return self._zip.read(self._info(ref))

    def _info(self, ref: ImageRef) -> zipfile.ZipInfo:
        if ref.id not in self._images:
            raise MissingMemberError("no such file in the archive")
        return self._images[ref.id]
