"""How an image is called before it is opened, what tells that it has changed, and what naming the
images of some sources came across besides."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import NamedTuple

from sscd_cli.errors import SscdError, UsageError

IMAGE_NAME = re.compile(
    r"\.(apng|avifs?|bmp|dds|dib|gif|hei[cf]|hif|icns|ico|j2[ck]|jfif|jp[2efgx]|jpeg|jxl|mpo"
    r"|pbm|pcx|pfm|pgm|png|pnm|ppm|psd|qoi|ras|rgba?|sgi|tga|tiff?|webp"
    r"|3fr|arw|cr[23w]|dcr|dng|erf|gpr|iiq|kdc|mef|mos|mrw|nef|nrw|orf|pef|raf|rw[2l]|s?rw|x3f)\Z",
    re.IGNORECASE,
)
PDF = ".pdf"

# what people threw away, and thumbnails, on network drives and Windows: their owners keep others
BINS = re.compile(
    r"#recycle|@recycle|@eadir|\$recycle\.bin|system volume information|#snapshot"
    r"|\.trash.*|\.thumbnails",
    re.IGNORECASE,
)


# where `sscd apply` puts what may go: no source
QUARANTINE = ".sscd-quarantine"


class Place(NamedTuple):
    """Where an image's bytes lie in its container, or in the whole of a file on a server.

    mtime_ns: when the container or the file was written.
    """

    offset: int
    size: int
    mtime_ns: int


class Fault(NamedTuple):
    """Why no more images of a folder, an archive or a list (its `kind`) could be named."""

    kind: str
    reason: str
    fix: str

    def as_error(self, path: str) -> SscdError:
        """Return the error that ends a run which needs all of the images."""
        return SscdError(f"cannot read the {self.kind} {path}: {self.reason}", self.fix)


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One image that has been named but not yet opened.

    id: stable key: POSIX path relative to `source`, or the container's own key; for a file given
    by itself, its path as given without "." steps and doubled slashes. source: absolute path of
    the folder or container; for a file given by itself the working directory, or "" if its path
    is absolute. path: what to open. member: key inside a container, None for a file of its own.
    place: spares looking the member up. fault: it stands for the images of a folder, an archive or
    a list that could not be named; then `path` and `id` are those of the folder or file.
    """

    id: str
    source: str
    path: str
    member: str | None = None
    place: Place | None = None
    fault: Fault | None = None

    @property
    def name(self) -> str:
        """What to call it in a message: what to open, and the member of a container."""
        return self.path if self.member is None else f"{self.path}/{self.id}"


class FileStatus(NamedTuple):
    """What tells cheaply that an image has changed: its size in bytes and when it was written.

    For a member of a container, `mtime_ns` is the container's: writers often fake the members'.
    `file_bytes` is None where only reading the image would tell; then the time alone does.
    """

    file_bytes: int | None
    mtime_ns: int


class ElsewhereError(OSError):
    """A container names a file instead of holding the image; its path is the argument."""


class DescriptorsError(UsageError):
    """A table holds the descriptors of images, not images."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} holds descriptors, not images", "name its folder with -d")


class MissingMemberError(OSError):
    """A container has no image of that name."""


def is_image_name(name: str) -> bool:
    """Whether the extension of `name` is that of an image format, in either case.

    That of a PDF counts where the extra that reads it is installed.
    """
    return IMAGE_NAME.search(name) is not None or (name.lower().endswith(PDF) and reads_pdf())


@lru_cache(maxsize=1)
def reads_pdf() -> bool:
    """Whether the extra for PDF files is installed; loads nothing."""
    return find_spec("pypdfium2") is not None


def is_bin(name: str) -> bool:
    """Whether a folder of this name holds what was thrown away, or thumbnails."""
    return BINS.fullmatch(name) is not None


def is_hidden(key: str) -> bool:
    """Whether a name inside a container is hidden, or lies in a hidden folder or a recycle bin."""
    parts = PurePosixPath(key).parts
    hidden = any(part.startswith(".") and part != ".." for part in parts)
    return hidden or any(map(is_bin, parts[:-1]))


@dataclass
class Survey:
    """Counts of what was left out, and which folders and files were named to their end.

    left_out: files that are no images, by their suffix ("" without one). bins: folders of deleted
    files and of thumbnails, by their name. repeated: members of an archive that a later one of
    the same name replaces.
    """

    left_out: Counter[str] = field(default_factory=Counter)
    bins: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    _whole: bytearray = field(default_factory=bytearray, repr=False)

    def leave_out(self, name: str) -> None:
        """Count a file that is no image."""
        self.left_out[suffix_of(name)] += 1

    def note_whole(self, path: str) -> None:
        """Remember that all images of a folder, an archive or a list were named: 8 bytes each."""
        self._whole += _key(path)

    def whole(self, paths: Iterable[str]) -> list[str]:
        """Return those of some paths that were named to their end."""
        noted = {bytes(self._whole[at : at + 8]) for at in range(0, len(self._whole), 8)}
        return [path for path in paths if _key(path) in noted]


def joined(surveys: Iterable[Survey]) -> Survey:
    """Return what several tasks of one job noted: each walks the same folders."""
    total = Survey()
    for survey in surveys:
        total.left_out |= survey.left_out
        total.bins |= survey.bins
        total.repeated += survey.repeated
    return total


def suffix_of(name: str) -> str:
    """Return the suffix of a file's name in lower case, as ".txt"; "" without one."""
    stem, _, suffix = name.rpartition("/")[2].rpartition(".")
    return f".{suffix.lower()}" if stem else ""


def _key(path: str) -> bytes:
    return hashlib.blake2b(os.fsencode(path), digest_size=8).digest()
