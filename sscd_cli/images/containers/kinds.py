"""Which kind of container a source is, and the open ones, kept for the next image."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Set
from functools import lru_cache
from pathlib import PurePosixPath
from typing import NamedTuple, Protocol

from sscd_cli.images.containers.listing import extension_of, is_listing
from sscd_cli.images.containers.packing import without_packing
from sscd_cli.images.refs import ImageRef, Survey, split_columns

KEPT_OPEN = 32
KEPT_SHARED = 8
PACKED_TAR = (
    *(".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz"),
    *(".tar.xz", ".txz", ".tar.zst", ".tzst"),
)
TAR = (".tar", ".cbt", *PACKED_TAR)
ZIP = (".zip", ".cbz")
PARQUET = (".parquet", ".pq")
ARROW = (".arrow", ".feather", ".ipc")  # what `datasets`, pandas and Polars save
SHARED = (*PACKED_TAR, *PARQUET, *ARROW)


class Container(Protocol):
    """One open file that holds images; the keys of its members are the ids of its images."""

    def refs(self, survey: Survey | None = None) -> Iterator[ImageRef]:
        """Name the images in their order, and note in `survey` what else is there.

        Raises: as `open_container`, after the images before the damage.
        """

    def size(self, ref: ImageRef) -> int | None:
        """Return an image's size in bytes, None where only reading it would tell.

        Raises: MissingMemberError: there is no such image. ElsewhereError: as `read`.
        """

    def read(self, ref: ImageRef, max_bytes: int) -> bytes:
        """Return an image's bytes, without reading many more than `max_bytes`.

        Raises: ElsewhereError: they lie in another file. OSError, ValueError and the format's own
        errors.
        """


def is_container(source: str) -> bool:
    """Whether a source's name is that of a container."""
    return split_columns(source)[0].lower().endswith((*TAR, *ZIP, *PARQUET, *ARROW))


def is_walked_cheaply(source: str) -> bool:
    """Whether naming a container's images takes no unpacking of all of them."""
    return not split_columns(source)[0].lower().endswith(PACKED_TAR)


def is_archive(name: str) -> bool:
    """Whether a file in a folder holds images that no other file there holds.

    `datasets` keeps what it computes of a saved data set beside it.
    """
    is_cache = name.endswith(ARROW) and PurePosixPath(name).name.startswith("cache-")
    return is_container(name) and not is_cache


def is_table(source: str) -> bool:
    """Whether a container has columns to choose."""
    return split_columns(source)[0].lower().endswith((*PARQUET, *ARROW))


def open_container(source: str, mtime_ns: int) -> Container:
    """Return the container `source` as it was written at `mtime_ns`, open or opened now.

    Raises: OSError, ValueError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile: it
        cannot be read, or is damaged.
    """
    if split_columns(source)[0].lower().endswith(SHARED):
        return _shared(source, mtime_ns, os.getpid())
    # forked processes and threads would share the position in an open file
    return _own(source, mtime_ns, os.getpid(), threading.get_ident())


def _opened(source: str, mtime_ns: int, *user: int) -> Container:
    """Open a container for a process, or a thread of one."""
    kind = _kind(source)
    if kind is None:
        raise OSError("not a container of images")
    return kind.open(source, mtime_ns)


# what threads share, for unpacking or decoding it takes long, locks itself
_shared, _own = lru_cache(KEPT_SHARED)(_opened), lru_cache(KEPT_OPEN)(_opened)

Rewrite = Callable[[str, str, Set[str]], int]


def rewriter(source: str) -> Rewrite | None:
    """Return what writes a file `source` (with its columns) to a path without the images of some
    ids; None if it is no kind of source that holds several.

    What it returns counts what went along (captions of a sample, annotations), and raises OSError,
    ValueError and the formats' own errors.
    """
    if kind := _kind(source):
        return kind.rewrite
    if is_listing(split_columns(source)[0]):
        from sscd_cli.images.containers.relisting import rewrite_listing

        return rewrite_listing
    return None


class _Kind(NamedTuple):
    open: Callable[[str, int], Container]
    rewrite: Rewrite


def _kind(source: str) -> _Kind | None:
    name = split_columns(source)[0].lower()
    if name.endswith(TAR):
        from sscd_cli.images.containers.tar import TarContainer, rewrite_tar

        return _Kind(TarContainer, rewrite_tar)
    if name.endswith(ZIP):
        from sscd_cli.images.containers.zip import ZipContainer, rewrite_zip

        return _Kind(ZipContainer, rewrite_zip)
    if is_table(name):
        from sscd_cli.images.containers.parquet import (
            open_arrow,
            open_parquet,
            rewrite_arrow,
            rewrite_parquet,
        )

        if name.endswith(PARQUET):
            return _Kind(open_parquet, rewrite_parquet)
        return _Kind(open_arrow, rewrite_arrow)
    return None


def suffix(name: str) -> str:
    """Return the extension by which a source is known, in lower case: ".tar.gz", ".csv", ""."""
    name = split_columns(name)[0].lower()
    double = [known for known in TAR if name.endswith(known)]
    if double or not is_listing(name):
        return max(double, key=len, default=os.path.splitext(name)[1])  # noqa: PTH122
    return extension_of(name) + name.removeprefix(without_packing(name))
