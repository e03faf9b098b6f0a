"""Where images come from: folders, files, lists of files, containers (tar, zip, tables), patterns.

Everything here is lazy: no more than one folder's names (and those left over in its
ancestors), or one container's, are in memory, so ten million files cost what the largest folder
costs. Names are `str` with surrogateescape, so that every byte a file system allows survives.
"""

# names stay strings: a Path for each file would cost more than listing it
# ruff: noqa: PTH100, PTH109

from __future__ import annotations

import fnmatch
import glob
import io
import lzma
import os
import re
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import PurePosixPath
from typing import NamedTuple, cast

from sscd_cli.errors import SscdError, UsageError, cannot_read, reason_of
from sscd_cli.images.containers.folder import iter_folder
from sscd_cli.images.containers.kinds import is_container, is_table, open_container
from sscd_cli.images.containers.listing import NamelessError, is_listing, iter_listing
from sscd_cli.images.containers.piped_names import iter_names
from sscd_cli.images.refs import (
    FOUND,
    QUARANTINE,
    ROWS,
    Columns,
    DescriptorsError,
    Fault,
    ImageRef,
    NotImagesError,
    Survey,
    join_columns,
    split_columns,
)
from sscd_cli.images.signatures import LFS_FIX, LFS_REASON, is_lfs_pointer
from sscd_cli.storage.servers import (
    Entry,
    exists,
    has_unknown_scheme,
    is_url,
    join,
    look,
    matching,
    without_file_scheme,
)
from sscd_cli.text import counted

FAILURES = (
    *(OSError, EOFError, ValueError, NotImplementedError),
    *(tarfile.TarError, zlib.error, lzma.LZMAError, zipfile.BadZipFile),
)
BRACES = re.compile(r"\{([^{}]*,[^{}]*|\d+\.\.\d+)\}")
SUFFIX = re.compile(r"\.[^*?\[\]./]+\Z")
MAX_FILES = 1_000_000  # that a pattern stands for


def iter_images(
    sources: Sequence[str],
    *,
    from0: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    columns: Columns = FOUND,
    stdin: io.BufferedIOBase | None = None,
    opens: Callable[[str], bool] = lambda container: True,
    survey: Survey | None = None,
) -> Iterator[ImageRef]:
    """Name the images of `sources` one by one, in an order that depends on names alone.

    - a folder: its images, recursively (see `folder.iter_folder`); of one that holds none but
      archives, those of its archives;
    - "-": the files listed on stdin, NUL-separated or one a line (as the list holds
      such bytes or none), whatever their extension;
    - a tar or zip file: its members with an image extension, as stored;
    - a Parquet or Arrow file: a row is an image, or several (see `containers.table`);
    - a `.csv`, `.tsv`, `.jsonl`, `.txt` or COCO `.json` file: the images it names (see `listing`);
    - any other file: itself, whatever its extension;
    - a pattern (`shard-{000..099}.tar`, `*.zip`): all that it stands for, in order.

    Each may be on a server: `s3://`, `gs://`, `hf://`, `http(s)://` (files only, no folders); and
    `file://` is a path here. Files are not opened: one that is missing, no regular file or no
    image is yielded and turns out unreadable when decoded. Sources that overlap yield an image
    once for each of them.

    Args: include, exclude: shell patterns for the id (`fnmatch`, case matters, `*` matches "/"
    too); a folder that matches an exclude pattern is not entered. columns: of tables and lists; a
    source's own (`rows.parquet#image=photo&id=key`) come first. from0: the list on stdin is
    NUL-separated, and refused if not. stdin: bytes, by default the process's own. opens:
    asked with the absolute path of each container (with the columns chosen in it) whether to look
    into it. survey: notes what is left out; with one, a folder, an archive
    or a list that cannot be read to its end becomes an image with a `fault`, and no error.
    Raises: SscdError: a source is missing, which shows before any image is named; without a
    survey, a folder, an archive or a list cannot be read. UsageError: a list of lines with
    NUL bytes further on, or of lines with `from0`; a table of which no column holds images.
    """
    naming = _Naming(Globs.of(include, exclude), columns, opens, survey or Survey())
    for source in sources:
        if source != "-" and not is_pattern(source):
            _found(source)
    refs: Iterator[ImageRef]
    for source in sources:
        if source == "-":
            refs = map(_file, iter_names(stdin or _own_stdin(), from0=from0))
        else:
            refs = naming.of_sources(expand(source))
        for ref in refs:
            if ref.fault is not None and survey is None:
                raise ref.fault.as_error(ref.path)
            if ref.fault is not None or naming.globs.allow(ref.id):
                yield ref


class _Found(NamedTuple):
    """A source: its path, the columns chosen in it, and what lies there."""

    path: str
    columns: Columns
    entry: Entry


@dataclass(frozen=True)
class _Naming:
    """How the images of each source are named; the fields are arguments of `iter_images`."""

    globs: Globs
    columns: Columns
    opens: Callable[[str], bool]
    survey: Survey

    def of_sources(self, names: Iterator[str]) -> Iterator[ImageRef]:
        """Name the images of what a pattern stands for, of which the first must be there."""
        yield from self.of_source(_found(next(names)))
        for name in names:
            try:
                found = _looked_at(name)
            except (OSError, ValueError) as error:
                fault = Fault("source", reason_of(error), "fetch it, or leave it out")
                yield ImageRef(name, "", name, fault=fault)
                continue
            try:
                yield from self.of_source(found)
            except NotImagesError:
                fault = Fault("archive", "a table without images", "leave it out")
                yield ImageRef(name, "", name, fault=fault)

    def of_source(self, found: _Found) -> Iterator[ImageRef]:
        path, own, entry = found
        columns = Columns(*(ours or all for ours, all in zip(own, self.columns, strict=True)))
        place = _absolute(path)
        if entry.is_folder:
            return self._of_folder(place)
        if entry.is_file and is_container(path):
            return self._of_container(join_columns(place, columns) if is_table(path) else place)
        if entry.is_file and is_listing(path):
            return self._to_its_end("list", place, iter_listing(place, columns.image))
        return iter((_file(path),))

    def _of_folder(self, root: str) -> Iterator[ImageRef]:
        globs, archives = self.globs, list[str]()
        ref = None
        for ref in iter_folder(
            root, globs.enter, survey=self.survey, takes=globs.takes, archives=archives
        ):
            yield ref
        if ref is None:
            yield from self._of_archives(root, archives)
        else:
            for key in archives:
                self.survey.leave_out(key)

    def _of_archives(self, root: str, archives: list[str]) -> Iterator[ImageRef]:
        """Name the images of a folder's archives; tables without images are left out, unless all
        are."""
        tars = {stem for key in archives if (stem := key.removesuffix(".tar")) != key}
        error, held = None, False
        for key in archives:
            if is_table(key) and key.rpartition(".")[0] in tars:  # what img2dataset notes
                self.survey.leave_out(key)
                continue
            try:
                yield from self.of_source(_found(join(root, key)))
                held = True
            except NotImagesError as failure:
                self.survey.leave_out(key)
                error = failure
        if error and not held and not isinstance(error, DescriptorsError):
            raise error

    def _of_container(self, source: str) -> Iterator[ImageRef]:
        if self.opens(source):
            path = split_columns(source)[0]
            yield from self._to_its_end("archive", path, _members(source, self.survey))

    def _to_its_end(self, kind: str, path: str, refs: Iterator[ImageRef]) -> Iterator[ImageRef]:
        """Yield images, and what keeps the rest from being named as the last of them."""
        count = 0
        try:
            if not is_url(path) and is_lfs_pointer(path):
                raise OSError(LFS_REASON)
            for ref in refs:
                yield ref
                count += 1
        except FAILURES as error:
            reason = reason_of(error)
            after = f" (after {counted(count, 'images')})" if count else ""
            fix = LFS_FIX if reason == LFS_REASON else "fetch or make it again"
            fault = Fault(kind, reason + after, fix)
            yield ImageRef(path, "", path, fault=fault)
        except NamelessError as error:
            yield ImageRef(path, "", path, fault=Fault(ROWS, error.what, error.fix))
        else:
            self.survey.note_whole(path)


def _found(source: str) -> _Found:
    """Say what a source is. Raises: SscdError: nothing lies there."""
    try:
        return _looked_at(source)
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and is_pattern(source):
            raise SscdError(f"no file matches {source}", "check the pattern") from None
        fix = "check where this link leads" if os.path.islink(source) else "check the path"  # noqa: PTH114
        raise cannot_read("source", source, error, fix) from None


def _looked_at(source: str) -> _Found:
    source = without_file_scheme(source)
    if has_unknown_scheme(source):
        what = f"{source} has no known scheme"
        raise UsageError(what, "name a path, or one of s3://, gs://, hf://, http(s)://, file://")
    if not is_url(source) and _is_quarantined(source):
        raise _QUARANTINED.as_error(source)
    path, columns = source, FOUND
    if not os.path.lexists(path):
        path, columns = split_columns(path)
    return _Found(path, columns, look(path))


def _members(source: str, survey: Survey) -> Iterator[ImageRef]:
    """Name the images of a container, which is opened when the first of them is asked for."""
    path = split_columns(source)[0]
    yield from open_container(source, look(path).mtime_ns).refs(survey)


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
    fault = _QUARANTINED if _is_quarantined(name) else None
    source = "" if id.startswith("/") else os.getcwd()
    return ImageRef(id=id, source=source, path=name, fault=fault)


_QUARANTINED = Fault(
    "source", "it lies in the quarantine of sscd apply", "sscd undo brings it back"
)


def _is_quarantined(path: str) -> bool:
    return QUARANTINE in os.path.abspath(path).split(os.sep)  # noqa: PTH206


def _absolute(source: str) -> str:
    """The absolute path of `source` with its symbolic links kept, unless a ".." crosses one."""
    if is_url(source):
        return source.rstrip("/")
    absolute, real = os.path.abspath(source), os.path.realpath(source)
    return absolute if os.path.realpath(absolute) == real else real


def _own_stdin() -> io.BufferedIOBase:
    if sys.stdin is None:
        raise SscdError("stdin is closed", "pipe a list of files into the command")
    return cast("io.BufferedIOBase", sys.stdin.buffer)


@dataclass(frozen=True, slots=True)
class Globs:
    """What `include` and `exclude` let through; patterns match a whole id, `*` crosses "/"."""

    include: tuple[re.Pattern[str], ...]
    exclude: tuple[re.Pattern[str], ...]
    all_kinds: tuple[re.Pattern[str], ...] = ()

    @classmethod
    def of(cls, include: Sequence[str], exclude: Sequence[str]) -> Globs:
        all_kinds = [p for p in include if p == "*" or SUFFIX.search(p)]
        return cls(_compiled(include), _compiled(exclude), _compiled(all_kinds))

    def allow(self, key: str) -> bool:
        """Whether the image `key` matches an include pattern (if any) and no exclude pattern."""
        included = not self.include or any(p.match(key) for p in self.include)
        return included and not any(p.match(key) for p in self.exclude)

    def takes(self, key: str) -> bool:
        """Whether an include pattern asks for the file `key` although no image is named so.

        `*` asks for all files, and a pattern that ends in a suffix (`*.dat`) for those.
        """
        return any(p.match(key) for p in self.all_kinds)

    def enter(self, key: str) -> bool:
        """Whether to look into the folder `key`: not when it is excluded, as "a" or as "a/"."""
        return not any(p.match(key) or p.match(f"{key}/") for p in self.exclude)


def _compiled(patterns: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(fnmatch.translate(pattern)) for pattern in patterns)


def is_pattern(source: str) -> bool:
    """Whether a source stands for others: as it is written, nothing lies there."""
    path = without_file_scheme(source)
    return bool(glob.has_magic(path) or BRACES.search(path)) and not exists(path)


def expand(source: str) -> Iterator[str]:
    """Yield the names that `source` stands for: braces first, then `*`, `?` and `[...]`.

    `{000..099}` counts with the zeros it is written with, `{a,b}` lists. A source that exists as
    it is written stands for itself, and so does a pattern that nothing matches.
    Raises: UsageError: more than a million names. OSError: a server does not answer.
    """
    path = without_file_scheme(source)
    if not is_pattern(path):
        yield path
        return
    for name in _braces(path):
        found = matching(name) if glob.has_magic(name) else []
        yield from found or [name]


def _braces(source: str) -> Iterator[str]:
    """Expand `{...}` as a shell does, the last one fastest."""
    parts = BRACES.split(source)
    choices = [_choices(text, source) for text in parts[1::2]]
    total = 1
    for some in choices:
        total *= len(some)
    if total > MAX_FILES:
        what = f"{source} stands for {total:,} files"
        raise UsageError(what, f"name at most {MAX_FILES:,} in one pattern")
    for chosen in product(*choices):
        words = [word for pair in zip(parts[::2], chosen, strict=False) for word in pair]
        yield "".join([*words, parts[-1]])


def _choices(text: str, source: str) -> Sequence[str]:
    if "," in text:
        return text.split(",")
    first, last = text.split("..")
    low, high, step = int(first), int(last), 1 if int(first) <= int(last) else -1
    if abs(high - low) >= MAX_FILES:
        raise UsageError(f"{source} stands for too many files", f"name at most {MAX_FILES:,}")
    width = max(len(first), len(last)) if first.startswith("0") or last.startswith("0") else 0
    return [str(number).zfill(width) for number in range(low, high + step, step)]


def protection(patterns: Sequence[str]) -> Callable[[str, str], bool]:
    """Return whether an image, by its source and id, matches: by its id, or by the name of its
    source, of a folder or of a file in it.

    Where the source lies counts only for a pattern that begins with a slash: a set in /data/test/
    need not be the test split.
    """
    relative = _compiled([pattern for pattern in patterns if not pattern.startswith("/")])
    absolute = _compiled([pattern for pattern in patterns if pattern.startswith("/")])

    def protects(source: str, id: str) -> bool:
        name = PurePosixPath(split_columns(source)[0]).name
        path = PurePosixPath(name, id.lstrip("/"))
        names = (id, str(path), *path.parts, name.partition(".")[0])
        whole = f"{source}/{id}" if source else id
        return any(pattern.match(whole) for pattern in absolute) or any(
            pattern.match(name) for pattern in relative for name in names
        )

    return protects
