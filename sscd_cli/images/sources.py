"""Where images come from: folders, single files, a list on stdin, tar archives.

Everything here is lazy: no more than one folder's names (and those left over in its
ancestors) are in memory, so ten million files cost what the largest folder costs. Names are
`str` with surrogateescape, so that every byte a file system allows survives.
"""

# names stay strings: a Path for each file would cost more than listing it
# ruff: noqa: PTH100, PTH116, PTH118

from __future__ import annotations

import fnmatch
import io
import os
import re
import stat
import sys
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import cast

from sscd_cli.errors import SscdError, UsageError

IMAGE_NAME = re.compile(
    r"\.(apng|avifs?|bmp|dds|dib|gif|hei[cf]|icns|ico|j2[ck]|jfif|jp[2efgx]|jpeg|mpo"
    r"|pbm|pcx|pfm|pgm|png|pnm|ppm|psd|qoi|sgi|tga|tiff?|webp)\Z",
    re.IGNORECASE,
)
TAR_EXTENSIONS = (".tar", ".tar.gz", ".tgz")
# version control folders that a leading dot does not hide already
VCS_FOLDERS = frozenset({b"CVS", b"_darcs"})
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One image that has been named but not yet opened.

    id: stable key: POSIX path relative to `source`; for a file given by itself, its path as
    given without "." steps and doubled slashes. source: absolute path of the folder or archive;
    for a file given by itself the working directory, or "" if its path is absolute.
    path: what to open. member: name inside a tar archive.
    """

    id: str
    source: str
    path: str
    member: str | None = None


@dataclass(frozen=True, slots=True)
class Globs:
    """What `include` and `exclude` let through; patterns match a whole id, `*` crosses "/"."""

    include: tuple[re.Pattern[str], ...]
    exclude: tuple[re.Pattern[str], ...]

    @classmethod
    def of(cls, include: Sequence[str], exclude: Sequence[str]) -> Globs:
        return cls(_compiled(include), _compiled(exclude))

    def allow(self, key: str) -> bool:
        """Whether the image `key` matches an include pattern (if any) and no exclude pattern."""
        included = not self.include or any(p.match(key) for p in self.include)
        return included and not any(p.match(key) for p in self.exclude)

    def enter(self, key: str) -> bool:
        """Whether to look into the folder `key`: not when it is excluded, as "a" or as "a/"."""
        return not any(p.match(key) or p.match(f"{key}/") for p in self.exclude)


def iter_images(
    sources: Sequence[str],
    *,
    stdin_null: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    stdin: io.BufferedIOBase | None = None,
) -> Iterator[ImageRef]:
    """Name the images of `sources` one by one, in an order that depends on names alone.

    - a folder: its files with an image extension, recursively, ids in the order of their bytes;
      hidden files and version control folders are skipped, symbolic links followed, a link to
      a folder that it lies in is not;
    - "-": the files listed on stdin, one a line or NUL-separated, whatever their extension;
    - a `.tar`, `.tar.gz` or `.tgz` file: its members with an image extension, as stored;
    - any other file: itself, whatever its extension.

    Files are not opened: one that is missing, no regular file or no image is yielded and turns
    out unreadable when decoded. Sources that overlap yield an image once for each of them.

    Args: include, exclude: shell patterns for the id (`fnmatch`, case matters, `*` matches "/"
    too); a folder that matches an exclude pattern is not entered. stdin: bytes, by default the
    process's own.
    Raises: SscdError: a source is missing, a folder or an archive cannot be read. UsageError: a
    list with NUL bytes without `stdin_null`.
    """
    globs = Globs.of(include, exclude)
    refs: Iterator[ImageRef]
    for source in sources:
        if source == "-":
            refs = map(_file, _listed(stdin or _own_stdin(), stdin_null))
        else:
            refs = _of_source(source, globs)
        yield from (ref for ref in refs if globs.allow(ref.id))


def is_image_name(name: str) -> bool:
    """Whether the extension of `name` is that of an image format, in either case."""
    return IMAGE_NAME.search(name) is not None


def _of_source(source: str, globs: Globs) -> Iterator[ImageRef]:
    try:
        mode = os.stat(source).st_mode
    except (OSError, ValueError) as error:
        raise _unreadable("source", source, error, "check the path") from None
    if stat.S_ISDIR(mode):
        return _of_folder(_absolute(source), globs)
    if stat.S_ISREG(mode) and source.lower().endswith(TAR_EXTENSIONS):
        return _of_tar(_absolute(source))
    return iter((_file(source),))


def _file(name: str) -> ImageRef:
    """Name a file given by itself: a relative name belongs to the folder that it is relative to."""
    id = str(PurePosixPath(name))
    return ImageRef(id=id, source="" if id.startswith("/") else os.getcwd(), path=name)  # noqa: PTH109


def _absolute(source: str) -> str:
    """The absolute path of `source` with its symbolic links kept, unless a ".." crosses one."""
    absolute, real = os.path.abspath(source), os.path.realpath(source)
    return absolute if os.path.realpath(absolute) == real else real


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder being walked: the names left in it (last first), those of folders end in "/"."""

    key: str
    names: list[bytes]
    identity: tuple[int, int]


def _of_folder(root: str, globs: Globs) -> Iterator[ImageRef]:
    """Yield the images below `root`; one open level per depth, so that depth has no limit."""
    levels = [_opened(root, "")]
    while levels:
        level = levels[-1]
        if not level.names:
            levels.pop()
            continue
        key = level.key + os.fsdecode(level.names.pop())
        path = os.path.join(root, key)
        if not key.endswith("/"):
            yield ImageRef(key, root, path)
        elif globs.enter(key[:-1]):
            below = _opened(path, key)
            if all(below.identity != above.identity for above in levels):
                levels.append(below)


def _opened(path: str, key: str) -> _Folder:
    """List one folder; one that has vanished since its parent was listed has no names."""
    try:
        status = os.stat(path)
        with os.scandir(path) as entries:
            names = sorted((name for e in entries if (name := _listing(e))), reverse=True)
    except FileNotFoundError:
        return _Folder(key, [], (0, 0))
    except OSError as error:
        fix = f"make it readable or leave it out with --exclude '{key[:-1]}'"
        raise _unreadable(
            "folder", path.rstrip("/") or "/", error, fix if key else "make it readable"
        ) from None
    return _Folder(key, names, (status.st_dev, status.st_ino))


def _listing(entry: os.DirEntry[str]) -> bytes:
    """The name under which `entry` is listed, sorting as its id does; empty to leave it out."""
    name = os.fsencode(entry.name)
    if name.startswith(b"."):
        return b""
    if _is_folder(entry):
        return b"" if name in VCS_FOLDERS else name + b"/"
    return name if is_image_name(entry.name) else b""


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, for one
        return False


def _of_tar(path: str) -> Iterator[ImageRef]:
    """Yield the members with an image extension, also links, which turn out unreadable."""
    try:
        with tarfile.open(path, encoding="utf-8") as archive:
            while (member := archive.next()) is not None:
                # the archive would keep every header that it has passed
                archive.members.clear()  # type: ignore[attr-defined]
                ref = ImageRef(str(PurePosixPath(member.name)), path, path, member.name)
                if not member.isdir() and is_image_name(ref.id) and not _is_hidden(ref.id):
                    yield ref
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise _unreadable("archive", path, error, "fetch or pack it again") from None


def _is_hidden(key: str) -> bool:
    """Whether a name inside an archive is hidden or lies in a hidden folder."""
    parts = PurePosixPath(key).parts
    return any(part.startswith(".") and part != ".." for part in parts)


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


def _compiled(patterns: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(fnmatch.translate(pattern)) for pattern in patterns)


def _unreadable(kind: str, path: str, error: Exception, fix: str) -> SscdError:
    reason = getattr(error, "strerror", None) or str(error)
    return SscdError(f"cannot read the {kind} {path}: {reason}", fix)
