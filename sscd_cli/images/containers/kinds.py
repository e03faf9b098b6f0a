"""Which kind of container a source is, and the open ones, kept for the next image."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Protocol

from sscd_cli.images.columns import split_columns
from sscd_cli.images.refs import ImageRef

KEPT_OPEN = 32
TAR = (".tar", ".tar.gz", ".tgz")
ZIP = (".zip",)
PARQUET = (".parquet", ".pq")


class Container(Protocol):
    """One open file that holds images; the keys of its members are the ids of its images."""

    def refs(self) -> Iterator[ImageRef]:
        """Name the images in their order."""

    def size(self, ref: ImageRef) -> int | None:
        """Return an image's size in bytes, None where only reading it would tell.

        Raises: MissingMemberError: there is no such image.
        """

    def read(self, ref: ImageRef) -> bytes:
        """Return an image's bytes. Raises: OSError, ValueError and the format's own errors."""


def is_container(source: str) -> bool:
    """Whether a source's name is that of a container."""
    return _opener(source) is not None


def is_table(source: str) -> bool:
    """Whether a container has columns to choose."""
    return split_columns(source)[0].lower().endswith(PARQUET)


def open_container(source: str, mtime_ns: int) -> Container:
    """Return the container `source` as it was written at `mtime_ns`, open or opened now.

    Raises: OSError, ValueError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile: it
        cannot be read, or is damaged.
    """
    # forked processes and threads would share the position in an open file
    return _opened(source, mtime_ns, os.getpid(), threading.get_ident())


@lru_cache(maxsize=KEPT_OPEN)
def _opened(source: str, mtime_ns: int, process: int, thread: int) -> Container:
    opener = _opener(source)
    if opener is None:
        raise OSError("not a container of images")
    return opener(source, mtime_ns)


def _opener(source: str) -> Callable[[str, int], Container] | None:
    name = split_columns(source)[0].lower()
    if name.endswith(TAR):
        from sscd_cli.images.containers.tar import TarContainer

        return TarContainer
    if name.endswith(ZIP):
        from sscd_cli.images.containers.zip import ZipContainer

        return ZipContainer
    if name.endswith(PARQUET):
        from sscd_cli.images.containers.parquet import ParquetContainer

        return ParquetContainer
    return None
