"""`sscd filter`: a source written again without the images that a report calls removable."""

from __future__ import annotations

import hashlib
import lzma
import os
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sscd_cli.errors import NoImagesError, SscdError, UsageError, reason_of
from sscd_cli.images.containers.kinds import is_container, is_table, rewriter, suffix
from sscd_cli.images.containers.listing import is_listing, named_image
from sscd_cli.images.containers.output import publishing
from sscd_cli.images.read import read_held
from sscd_cli.images.refs import ROWS, Columns, ImageRef, Survey, join_columns, split_columns
from sscd_cli.images.sources import expand, is_folder, iter_images, protection
from sscd_cli.machines.stages import each, stage
from sscd_cli.options.filter import FilterOptions
from sscd_cli.reports.reading import opened, read_report
from sscd_cli.reports.removals import (
    Removal,
    Removals,
    read_removals,
    refuse_changed,
    refuse_going_keepers,
    refuse_same_file,
    refuse_unfit_keeper,
)
from sscd_cli.reports.reported import Key, ReportedImage
from sscd_cli.storage.files import check_output
from sscd_cli.storage.places import RemotePath
from sscd_cli.storage.servers import at_once, exists, is_url
from sscd_cli.text import counted

FAILURES = (
    *(OSError, EOFError, ValueError, RuntimeError, zlib.error),
    *(tarfile.TarError, lzma.LZMAError, zipfile.BadZipFile),
)

UNREAD = b"unread"


@dataclass
class FilterResult:
    """What was written, in images: of `images`, `removed` went.

    along: captions and other files beside images, and COCO annotations, that went with them.
    spared: removable ones that `never_remove` kept. elsewhere: removable ones of the report that
    lie in no source named here. files: how many sources were written. unread: those that stay
    without being verified, for they cannot be read. lost: the rows of the written lists whose
    relative names lead nowhere.
    """

    output: Path
    files: int
    images: int = 0
    removed: int = 0
    along: int = 0
    spared: int = 0
    elsewhere: int = 0
    unread: int = 0
    lost: int = 0


@dataclass
class _Cut:
    """One source and which of its images go; `stays` is the fingerprint of the others."""

    source: str
    removed: set[str] = field(default_factory=set)
    stays: _Fingerprint | None = None


class _Fingerprint(NamedTuple):
    """The digest of some images in their order, how many of them cannot be read, and how many."""

    digest: bytes
    unread: int
    images: int


def run(options: FilterOptions) -> FilterResult:
    """Write `options.source` to `options.output` without the images that the report names.

    What was written is read back, and the images that stay are compared one by one in their order
    (ids and bytes; of a list, which holds no images, the ids), before it takes its name. Several
    sources, named by a pattern, become files of the same names in a folder.

    Before anything is written, what goes and what stays for it are compared with the hashes of
    the report, and what stays must be an image. Of a report of matches with another dataset that
    is the other one's, which must not go itself.

    Raises: UsageError: the report or the source is of no use here, or the output exists.
        NoImagesError: the sources hold none. SscdError: an image has changed since the report, one
        that must stay has gone, a source cannot be read or the output not be written, or what was
        written differs.
    """
    _check_output(options, [_place(split_columns(name)[0]) for name in expand(options.source)])
    with opened(options.remove) as stream:
        removals = read_removals(read_report(stream, options.remove))
    sources = _sources(options, removals)
    result = FilterResult(options.output, len(sources))
    cuts = _plan(sources, removals, options, result)
    with publishing(options.output) as output:
        if len(cuts) > 1:
            output.place.mkdir()
        for cut in cuts:
            target = str(output.place / _name(cut.source) if len(cuts) > 1 else output.place)
            with _naming_failures(cut.source, target):
                with stage("writing"):
                    result.along += output.write(cut.source, target, cut.removed, link=options.link)
                if _read_back(cut, target) != cut.stays:
                    raise ValueError("what was written differs from what should stay")
    for cut in cuts:
        written = options.output / _name(cut.source) if len(cuts) > 1 else options.output
        result.lost += _lost_names(cut.source, written)
    return result


def _sources(options: FilterOptions, removals: Removals) -> list[str]:
    """Return the absolute sources, with the columns chosen in them, by the report if by no one."""
    sources: list[str] = []
    for name in expand(options.source):
        path, own = split_columns(name)
        chosen = Columns(own.image or options.image_column, own.id or options.id_column)
        place = _place(path)
        reported = removals.tables(place)
        if not any(chosen) and len(reported) == 1:
            sources += reported
        else:
            sources.append(join_columns(place, chosen))
    return sources


def _name(source: str) -> str:
    return PurePosixPath(split_columns(source)[0]).name


def _like(source: str, path: str) -> str:
    """Return `path` with the columns that are chosen in `source`."""
    return join_columns(path, split_columns(source)[1])


def _place(path: str) -> str:
    return path if is_url(path) else os.path.abspath(path)  # noqa: PTH100


def _check_output(options: FilterOptions, sources: Sequence[str]) -> None:
    output = options.output
    if isinstance(output, RemotePath):
        check_output(output)
    if output.exists() or os.path.lexists(output):
        raise SscdError(f"{output} exists", "choose another place with -o, or remove it first")
    check_output(output)
    folders = [source for source in sources if is_folder(source)]
    for source in sources:
        name = split_columns(source)[0]
        if source in folders and _lies_in(output, name):
            raise UsageError(f"{output} lies in {name}", "choose another place with -o")
        if source not in folders and rewriter(source) is None:
            what = f"{name} is neither a folder, a container nor a list of images"
            raise UsageError(what, "name what sscd embed was given")
    if options.link and (is_url(str(output)) or any(map(is_url, sources)) or not folders):
        raise UsageError("--link is for a folder here, copied here", "leave it out")
    names = [_name(source) for source in sources]
    if folders or len(names) > 1:
        _refuse_file_name(output, names)
    if len(names) == 1 and folders:
        return
    if len(names) == 1 and suffix(output.name) != suffix(names[0]):
        raise UsageError(f"{output} is not named as {names[0]} is", f"use *{suffix(names[0])}")
    if len(set(names)) < len(names):
        raise UsageError("two of the sources have one name", "filter them one by one")


def _refuse_file_name(output: Path, names: Sequence[str]) -> None:
    """Raise UsageError where a folder would get the name of a file."""
    if rewriter(output.name) is not None:
        source = f"{names[0]}, a folder" if len(names) == 1 else f"{len(names)} sources"
        what = f"{output} is the name of a {suffix(output.name)} file, and what becomes of {source}"
        raise UsageError(f"{what}, is a folder", "name a folder with -o")


def _lies_in(output: Path, folder: str) -> bool:
    if is_url(folder) or isinstance(output, RemotePath):
        return f"{output}/".startswith(f"{folder.rstrip('/')}/")
    return output.resolve().is_relative_to(Path(folder).resolve())


def _plan(
    sources: Sequence[str], removals: Removals, options: FilterOptions, result: FilterResult
) -> list[_Cut]:
    """Decide what goes, and fingerprint what stays.

    Raises: SscdError: the report does not fit the sources.
    """
    protects = protection(options.never_remove)
    found: set[Key] = set()
    going: dict[Key, Removal] = {}

    def staying(cut: _Cut) -> Iterator[ImageRef]:
        for ref in _images(cut.source):
            result.images += 1
            removal = removals.removals.get((ref.source, ref.id))
            if removal is None:
                yield ref
                continue
            found.add((ref.source, ref.id))
            if protects(ref.source, ref.id):
                result.spared += 1
                yield ref
            else:
                going[ref.source, ref.id] = removal
                cut.removed.add(ref.id)
                result.removed += 1

    cuts = [_Cut(source) for source in sources]
    for cut in cuts:
        cut.stays = _fingerprint(staying(cut), cut.source, "reading")
        result.unread += cut.stays.unread
    result.elsewhere = len(removals) - len(found)
    if not result.images:
        raise NoImagesError(f"no images in {options.source}", "name what sscd embed was given")
    if removals and not found:
        gone = counted(len(removals), "removable images")
        what = f"{options.source} holds none of the {gone} of the report"
        raise SscdError(what, "name the source that the report was made from, where it was then")
    _check_evidence(list(going.values()))
    return cuts


def _check_evidence(going: Sequence[Removal]) -> None:
    """Make sure that what goes, and what stays for it, are the images that were compared.

    Raises: SscdError: one has changed or gone.
    """
    keepers = {removal.keeper.key: removal.keeper for removal in going}
    for removal in going:
        refuse_same_file(removal)
    refuse_going_keepers(going)
    for _ in chain(
        _each(refuse_changed, [removal.image for removal in going]),
        _each(refuse_unfit_keeper, list(keepers.values())),
    ):
        pass


def _each(
    check: Callable[[ReportedImage], None], images: Sequence[ReportedImage]
) -> Iterator[None]:
    """Check images, those that are files on servers at once."""
    remote = all(is_url(image.source or image.id) for image in images)
    alone = remote and not any(is_container(image.source) for image in images)
    return at_once(check, images) if alone else map(check, images)


def _images(source: str) -> Iterator[ImageRef]:
    for ref in iter_images([source], survey=Survey()):
        if ref.fault is not None:
            if ref.fault.kind == ROWS:  # those that name no image stay
                continue
            raise ref.fault.as_error(ref.path)
        if ref.member is not None and not is_container(source):
            pattern = f"{os.path.dirname(ref.path)}/*{os.path.splitext(ref.path)[1]}"  # noqa: PTH120, PTH122
            raise NoImagesError(f"{source} holds archives, no images", f"name '{pattern}'")
        yield ref


def _fingerprint(
    refs: Iterator[ImageRef], source: str, doing: str, expected: int | None = None
) -> _Fingerprint:
    """Read some images: ids (no row numbers) and bytes (of no list), however many."""
    path, columns = split_columns(source)
    numbered = is_table(path) and not columns.id

    def digest(ref: ImageRef) -> tuple[str, bytes]:
        if is_listing(path):
            return ref.id, b""
        try:
            data = b"\0".join(read_held(ref, sys.maxsize))
        except SscdError:
            raise
        except Exception:
            return ref.id, UNREAD
        return ref.id, hashlib.blake2b(data, digest_size=16).digest()

    total, unread, count = hashlib.blake2b(digest_size=16), 0, 0
    single = is_url(path) and not is_container(path)
    read = at_once(digest, refs) if single else map(digest, refs)
    for id, contents in each(read, doing, expected):
        count += 1
        total.update(b"" if numbered else os.fsencode(id) + b"\0")
        total.update(contents)
        unread += contents == UNREAD
    return _Fingerprint(total.digest(), unread, count)


def _read_back(cut: _Cut, target: str) -> _Fingerprint:
    # on a server a folder without files is none at all
    written = _images(_like(cut.source, target)) if exists(target) else iter(())
    expected = cut.stays.images if cut.stays else None
    return _fingerprint(written, cut.source, "reading back", expected)


def _lost_names(source: str, written: Path) -> int:
    """Return how many relative names of a list lead nowhere from the folder it was written to.

    A table is a list if its first row names a file.
    """
    path = str(written if isinstance(written, RemotePath) else written.absolute())
    folder = str(PurePosixPath(path).parent)
    if folder == str(PurePosixPath(split_columns(source)[0]).parent):
        return 0
    if is_listing(path):
        return sum(bool(r.source) and not exists(r.path) for r in _images(_like(source, path)))
    return sum(not exists(name) for name in _named_files(_like(source, path)))


def _named_files(table: str) -> Iterator[str]:
    """Yield the files that the rows of a table name relative to it; none if the first has bytes."""
    for ref in _images(table) if is_table(table) else ():
        with suppress(OSError):
            _, name = read_held(ref, sys.maxsize)
            if not name:
                return
            named = named_image(os.path.dirname(ref.path), os.fsdecode(name))  # noqa: PTH120
            if named.source:
                yield named.path


@contextmanager
def _naming_failures(source: str, target: str) -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        if isinstance(error, FileExistsError) and is_url(target):
            raise  # another run wrote there first
        what = f"cannot filter {source}: {reason_of(error)}"
        raise SscdError(what, "nothing was written; mend it and run the same again") from error
