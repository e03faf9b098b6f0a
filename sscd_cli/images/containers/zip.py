"""Zip archives: an image's id is its member's name, which is never used as a path."""

from __future__ import annotations

import copy
import shutil
import warnings
import zipfile
from collections.abc import Iterator, Set
from pathlib import PurePosixPath

from sscd_cli.images.containers.cut_zip import MEMBER, CutZip
from sscd_cli.images.containers.packing import CHUNK_BYTES
from sscd_cli.images.refs import ImageRef, MissingMemberError, Survey
from sscd_cli.images.signatures import is_hidden, is_image_name
from sscd_cli.storage.servers import open_binary

ENCRYPTED = 1  # a bit of a member's flags


class ZipContainer:
    """An open zip archive. Of members with one name the last counts.

    Its directory takes about 600 bytes of memory a member. A member never yields more bytes than
    the directory says it has, and those are compared with the limit before any is unpacked.
    """

    def __init__(self, source: str, mtime_ns: int) -> None:
        self._source = source
        self._file = open_binary(source)
        self._damage: zipfile.BadZipFile | None = None
        self._zip = self._opened()
        self._beside = Survey()
        images = list(self._listed())
        self._images = dict(images)
        self._beside.repeated = len(images) - len(self._images)

    def __del__(self) -> None:
        for file in ("_zip", "_file"):
            if hasattr(self, file):
                getattr(self, file).close()

    def _opened(self) -> zipfile.ZipFile:
        """Open the archive, cut off or not. Raises: zipfile.BadZipFile: it is none."""
        try:
            return zipfile.ZipFile(self._file)
        except zipfile.BadZipFile:
            self._file.seek(0)
            if self._file.read(len(MEMBER)) != MEMBER:
                raise zipfile.BadZipFile("not a zip archive") from None
        left = CutZip(self._file)
        why = f"truncated or damaged at byte {left.end}: no whole directory at its end"
        self._damage = zipfile.BadZipFile(why)
        return left

    def _listed(self) -> Iterator[tuple[str, zipfile.ZipInfo]]:
        for info in self._zip.infolist():
            key = str(PurePosixPath(info.filename))
            if info.is_dir():
                continue
            if is_hidden(key):
                self._beside.skip(key)
            elif is_image_name(key):
                yield key, info
            else:
                self._beside.leave_out(key)

    def refs(self, survey: Survey | None = None) -> Iterator[ImageRef]:
        """Name the members with an image extension, as stored.

        Raises: zipfile.BadZipFile: its directory is lost, after the members before the damage.
        """
        if survey is not None:
            survey.add(self._beside)
        for key, info in self._images.items():
            yield ImageRef(key, self._source, self._source, info.filename)
        if self._damage is not None:
            raise self._damage

    def size(self, ref: ImageRef) -> int:
        """Return a member's unpacked size. Raises: MissingMemberError: there is none."""
        return self._info(ref).file_size

    def read(self, ref: ImageRef, max_bytes: int) -> bytes:
        """Return a member's bytes, their checksum verified.

        It is unpacked bit by bit, for a damaged directory may tell too small a size.
        Raises: zipfile.BadZipFile, zlib.error: damaged. OSError: encrypted, or cut off.
        """
        info = self._info(ref)
        if isinstance(self._zip, CutZip) and info is self._zip.cut:
            raise OSError("the archive is truncated")
        if info.flag_bits & ENCRYPTED:
            raise OSError("encrypted with a password: unpack the archive")
        with self._zip.open(info) as member:
            return b"".join(iter(lambda: member.read(CHUNK_BYTES), b""))

    def _info(self, ref: ImageRef) -> zipfile.ZipInfo:
        if ref.id not in self._images:
            raise MissingMemberError("no such file in the archive")
        return self._images[ref.id]


def rewrite_zip(source: str, target: str, removed: Set[str]) -> int:
    """Write `source` to `target` without the images `removed`; each member packed as it was.

    Raises: RuntimeError: a member is encrypted; and what `zipfile` raises.
    """
    with (
        open_binary(source) as file,
        zipfile.ZipFile(file) as old,
        zipfile.ZipFile(target, "w") as new,
    ):
        new.comment = old.comment
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a name that is there twice stays so
            for info in old.infolist():
                if str(PurePosixPath(info.filename)) in removed:
                    continue
                with old.open(info) as member, new.open(copy.copy(info), "w") as output:
                    shutil.copyfileobj(member, output, CHUNK_BYTES)
    return 0
