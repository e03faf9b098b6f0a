"""How an image is called before it is opened, and what tells that it has changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

IMAGE_NAME = re.compile(
    r"\.(apng|avifs?|bmp|dds|dib|gif|hei[cf]|icns|ico|j2[ck]|jfif|jp[2efgx]|jpeg|jxl|mpo"
    r"|pbm|pcx|pfm|pgm|png|pnm|ppm|psd|qoi|sgi|tga|tiff?|webp"
    r"|arw|cr[23]|dng|nef|orf|pef|raf|rw2)\Z",
    re.IGNORECASE,
)


class Place(NamedTuple):
    """Where an image's bytes lie in its container, or in the whole of a file on a server.

    mtime_ns: when the container or the file was written.
    """

    offset: int
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One image that has been named but not yet opened.

    id: stable key: POSIX path relative to `source`, or the container's own key; for a file given
    by itself, its path as given without "." steps and doubled slashes. source: absolute path of
    the folder or container; for a file given by itself the working directory, or "" if its path
    is absolute. path: what to open. member: key inside a container, None for a file of its own.
    place: spares looking the member up.
    """

    id: str
    source: str
    path: str
    member: str | None = None
    place: Place | None = None

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


class MissingMemberError(OSError):
    """A container has no image of that name."""


def is_image_name(name: str) -> bool:
    """Whether the extension of `name` is that of an image format, in either case."""
    return IMAGE_NAME.search(name) is not None


def is_hidden(key: str) -> bool:
    """Whether a name inside a container is hidden or lies in a hidden folder."""
    parts = PurePosixPath(key).parts
    return any(part.startswith(".") and part != ".." for part in parts)
