"""Where images come from: folders, files, lists of files, containers (tar, zip, Parquet).

Everything here is lazy: no more than one folder's names (and those left over in its
ancestors), or one container's, are in memory, so ten million files cost what the largest folder
costs. Names are `str` with surrogateescape, so that every byte a file system allows survives.
"""

# names stay strings: a Path for each file would cost more than listing it
# ruff: noqa: PTH100, PTH109

from __future__ import annotations

import io
import os
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import PurePosixPath
from typing import cast

from sscd_cli.errors import UsageError, cannot_read
from sscd_cli.images.columns import FOUND, Columns, join_columns, split_columns
from sscd_cli.images.containers.kinds import is_container, is_table, open_container
from sscd_cli.images.folder import iter_folder
from sscd_cli.images.globs import Globs, expand
from sscd_cli.images.listing import is_listing, iter_listing
from sscd_cli.images.refs import ImageRef
from sscd_cli.storage.servers import has_unknown_scheme, is_url, look

CHUNK_BYTES = 1 << 16


def iter_images(
    sources: Sequence[str],
    *,
    stdin_null: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    columns: Columns = FOUND,
    stdin: io.BufferedIOBase | None = None,
    opens: Callable[[str], bool] = lambda container: True,
) -> Iterator[ImageRef]:
    """Name the images of `sources` one by one, in an order that depends on names alone.

    - a folder: its files with an image extension, recursively (see `folder.iter_folder`);
    - "-": the files listed on stdin, one a line or NUL-separated, whatever their extension;
    - a `.tar`, `.tar.gz`, `.tgz` or `.zip` file: its members with an image extension, as stored;
    - a `.parquet` file: a row is an image (see `containers.parquet`);
    - a `.csv`, `.tsv`, `.jsonl` or COCO `.json` file: the images it names (see `listing`);
    - any other file: itself, whatever its extension;
    - a pattern (`shard-{000..099}.tar`, `*.zip`): all that it stands for, in order.

    Each may be on a server: `s3://`, `gs://`, `hf://`, `http(s)://` (files only, no folders); and
    `file://` is a path here. Files are not opened: one that is missing, no regular file or no
    image is yielded and turns out unreadable when decoded. Sources that overlap yield an image
    once for each of them.

    Args: include, exclude: shell patterns for the id (`fnmatch`, case matters, `*` matches "/"
    too); a folder that matches an exclude pattern is not entered. columns: of Parquet files and
    lists; a source's own (`rows.parquet#image=photo&id=key`) come first. stdin: bytes, by default
    the process's own. opens: asked with the absolute path of each container (with the columns
    chosen in it) whether to look into it.
    Raises: SscdError: a source is missing, a folder or a container cannot be read. UsageError: a
    list with NUL bytes without `stdin_null`; a table of which no column holds images.
    """
    globs = Globs.of(include, exclude)
    refs: Iterator[ImageRef]
    for source in sources:
        if source == "-":
            refs = map(_file, _listed(stdin or _own_stdin(), stdin_null))
        else:
            some = (_of_source(name, globs, columns, opens) for name in expand(source))
            refs = chain.from_iterable(some)
        yield from (ref for ref in refs if globs.allow(ref.id))


def _of_source(
    source: str, globs: Globs, columns: Columns, opens: Callable[[str], bool]
) -> Iterator[ImageRef]:
    if has_unknown_scheme(source):
        what = f"{source} has no known scheme"
        raise UsageError(what, "name a path, or one of s3://, gs://, hf://, http(s)://, file://")
    path, chosen = source, FOUND
    try:
        if not os.path.lexists(source):
            path, chosen = split_columns(source)
        entry = look(path)
    except (OSError, ValueError) as error:
        raise cannot_read("source", source, error, "check the path") from None
    chosen = Columns(*(own or common for own, common in zip(chosen, columns, strict=True)))
    if entry.is_folder:
        return iter_folder(_absolute(path), globs.enter)
    if entry.is_file and is_container(path):
        place = _absolute(path)
        container = join_columns(place, chosen) if is_table(place) else place
        return _of_container(container, entry.mtime_ns) if opens(container) else iter(())
    if entry.is_file and is_listing(path):
        return _of_listing(_absolute(path), chosen.image)
    return iter((_file(path),))


def is_folder(source: str) -> bool:
    """Whether a source is a folder, here or on a server. Raises: SscdError: it is missing."""
    path = split_columns(source)[0]
    try:
        return look(path).is_folder
    except (OSError, ValueError) as error:
        raise cannot_read("source", path, error, "check the path") from None


def _file(name: str) -> ImageRef:
    """Name a file given by itself: a relative name belongs to the folder that it is relative to."""
    if is_url(name):
        return ImageRef(name, "", name)
    id = str(PurePosixPath(name))
    return ImageRef(id=id, source="" if id.startswith("/") else os.getcwd(), path=name)


def _absolute(source: str) -> str:
    """The absolute path of `source` with its symbolic links kept, unless a ".." crosses one."""
    if is_url(source):
        return source.rstrip("/")
    absolute, real = os.path.abspath(source), os.path.realpath(source)
    return absolute if os.path.realpath(absolute) == real else real


def _of_container(source: str, mtime_ns: int) -> Iterator[ImageRef]:
    with _naming_failures("archive", split_columns(source)[0]):
        yield from open_container(source, mtime_ns).refs()


def _of_listing(path: str, column: str) -> Iterator[ImageRef]:
    with _naming_failures("list", path):
        yield from iter_listing(path, column)


@contextmanager
def _naming_failures(kind: str, path: str) -> Iterator[None]:
    try:
        yield
    except (
        *(OSError, EOFError, ValueError, NotImplementedError),
        *(tarfile.TarError, zlib.error, zipfile.BadZipFile),
    ) as error:
        raise cannot_read(kind, path, error, "fetch or make it again") from None


def _listed(stdin: io.BufferedIOBase, null: bool) -> Iterator[str]:
    """Yield the names of a list as they arrive, each byte of them kept; empty ones are none."""
    separator = b"\0" if null else b"\n"
    rest = b""
    while chunk := stdin.read1(CHUNK_BYTES):
        if not null and b"\0" in chunk:
            raise UsageError("the list on stdin is separated by NUL bytes", "add --null (-0)")
        *names, rest = (rest + chunk).split(separator)
        yield from (os.fsdecode(name) for name in names if name)
    if rest:
        yield os.fsdecode(rest)


def _own_stdin() -> io.BufferedIOBase:
    if sys.stdin is None:
        raise UsageError("stdin is closed", "pipe a list of files into the command")
    return cast("io.BufferedIOBase", sys.stdin.buffer)
