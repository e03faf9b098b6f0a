# ruff: noqa: PTH103, PTH114, PTH110, PTH115, PTH118, PTH120, PTH211
"""The images below a folder, named lazily: one folder's names are in memory, and its ancestors'."""

# names stay strings: a Path for each file would cost more than listing it
# ruff: noqa: PTH116

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from sscd_cli.errors import reason_of
from sscd_cli.images.containers.kinds import is_archive, is_container
from sscd_cli.images.refs import QUARANTINE, Fault, ImageRef, Place, Survey
from sscd_cli.images.signatures import (
    Sidecars,
    is_bin,
    is_hidden,
    is_image_name,
    may_be_image,
    starts_like_image,
)
from sscd_cli.storage.servers import at_once, copy_file, is_url, join, list_folder

# version control folders that a leading dot does not hide already
VCS_FOLDERS = frozenset({"CVS", "_darcs"})
TRASHED = ".trashed-"  # a photo in the bin of a phone


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder being walked: the names left in it (last first), those of folders end in "/".

    places: what the server of a remote one tells of its files, so that each is asked for once.
    """

    key: str
    names: list[bytes]
    identity: tuple[int, int] = (0, 0)
    places: Mapping[bytes, Place] = field(default_factory=dict)


def iter_folder(
    root: str,
    enter: Callable[[str], bool],
    *,
    survey: Survey | None = None,
    takes: Callable[[str], bool] = lambda key: False,
    archives: list[str] | None = None,
) -> Iterator[ImageRef]:
    """Name the images below `root`, ids in the order of their bytes.

    A file counts whose name ends as an image's does, or which begins as images do although its
    name tells no other type (a server is not asked for that). Hidden files, recycle bins and
    version control folders are skipped, symbolic links followed, a link to a folder that it lies
    in is not. A folder that cannot be read is yielded as an image with a `fault`.

    Args: enter: asked with the id of each folder. survey: notes what is left out. takes: asked
    with the id of each file that is not named as an image whether it counts, whatever it holds.
    archives: filled with the ids of files that hold images themselves.
    """
    survey = survey or Survey()
    # one open level per depth, so that depth has no limit
    levels: list[_Folder] = []

    def open_level(key: str) -> Iterator[ImageRef]:
        path = join(root, key)
        try:
            level = _opened(path, key, survey)
        except OSError as error:
            yield _unreadable(path, key, error)
            return
        if all(level.identity != above.identity for above in levels):
            levels.append(level)

    yield from open_level("")
    while levels:
        level = levels[-1]
        if not level.names:
            survey.note_whole(_named(join(root, level.key)))
            levels.pop()
            continue
        name = level.names.pop()
        key = level.key + os.fsdecode(name)
        if key.endswith("/"):
            if enter(key[:-1]):
                yield from open_level(key)
        elif takes(key) or is_image_file(key, join(root, key)):
            yield ImageRef(key, root, join(root, key), place=level.places.get(name))
        elif archives is not None and is_archive(key):
            archives.append(key)
        else:
            survey.leave_out(key)


def is_image_file(name: str, path: str) -> bool:
    """Whether a file is one of a folder's images, by its name or by how it begins."""
    if is_image_name(name):
        return True
    is_candidate = may_be_image(name) and not is_container(name) and not is_url(path)
    return is_candidate and starts_like_image(path)


def is_skipped(name: str, *, is_folder: bool) -> bool:
    """Whether a name in a folder is hidden, that of a recycle bin or of version control."""
    return name.startswith(".") or (is_folder and (name in VCS_FOLDERS or is_bin(name)))


def _unreadable(path: str, key: str, error: OSError) -> ImageRef:
    name = _named(path)
    leave_out = f" or leave it out with --exclude '{key[:-1]}'" if key else ""
    fault = Fault("folder", reason_of(error), f"make it readable{leave_out}")
    return ImageRef(name, "", name, fault=fault)


def _named(folder: str) -> str:
    return folder.rstrip("/") or "/"


def _opened(path: str, key: str, survey: Survey) -> _Folder:
    """List one folder; one that has vanished since its parent was listed has no names."""
    try:
        if is_url(path):
            return _remote(path, key, survey)
        status = os.stat(path)
        with os.scandir(path) as entries:
            names = [name for e in entries if (name := _listed(e.name, _is_folder(e), survey))]
    except FileNotFoundError:
        return _Folder(key, [])
    return _Folder(key, sorted(names, reverse=True), (status.st_dev, status.st_ino))


def _remote(url: str, key: str, survey: Survey) -> _Folder:
    """List a folder on a server, with what it tells of its files."""
    entries = {
        _listed(name, entry.is_folder, survey): entry for name, entry in list_folder(url).items()
    }
    entries.pop(b"", None)
    names = sorted(entries, reverse=True)
    places = {name: Place(0, e.size or 0, e.mtime_ns) for name, e in entries.items() if e.is_file}
    return _Folder(key, names, (0, hash(url)), places)


def _listed(name: str, is_folder: bool, survey: Survey) -> bytes:
    """Return the name under which an entry is listed, sorting as its id does; empty: left out.

    One with slashes lies below a nameless folder of a bucket.
    """
    if "/" in name:
        survey.skip(name)
        return b"" if is_hidden(name) else os.fsencode(name)
    if is_bin(name) if is_folder else name.startswith(TRASHED):
        survey.bins[name if is_folder else TRASHED + "*"] += 1
    if is_skipped(name, is_folder=is_folder):
        return b""
    return os.fsencode(name) + (b"/" if is_folder else b"")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, for one
        return False


Copy = Callable[[str, str], None]


def copy_folder(
    source: str, target: str, removed: Set[str], *, link: bool, uploaded: Callable[[str], None]
) -> int:
    """Copy `source` to `target`, each here or on a server, without the images `removed`.

    What lies beside a removed image goes with it (see `Sidecars`); its number is returned.

    Here times and permissions are kept, and a link to a file or a folder of images is copied as
    what it leads to. link: make hard links instead of copies, so that no image takes space twice.
    uploaded: told of each file that is on a server now, perhaps by another thread.
    Raises: OSError: a file cannot be read, written or linked. ValueError: a name on a server
        would lead out of a folder here, or is that of two files here.
    """
    copy: Copy = partial(_copy, link=link)
    if is_url(source) or is_url(target):
        copy = copy_file

    def copied(key: str) -> None:
        new = join(target, key)
        if is_url(target):
            copy(join(source, key), new)
            uploaded(new)
        else:
            _refuse_to_lead_out(key)
            os.makedirs(os.path.dirname(new), exist_ok=True)
            copy(join(source, key), new)

    if not is_url(target):
        os.makedirs(target)
    beside = Sidecars(removed)
    along = 0

    def others() -> Iterator[str]:
        nonlocal along
        for key in _other_files(source):
            if beside.goes(key):
                along += 1
            else:
                yield key

    keys = chain(_staying(source, removed, beside), others())
    for _ in map(copied, keys) if copy is not copy_file else at_once(copied, keys):
        pass
    return along


def _refuse_to_lead_out(key: str) -> None:
    """Raise ValueError if a key of a bucket is no way down through the folders of a disk.

    A folder without a name would be the root of the disk, or the one above it.
    """
    if not {"", ".", ".."}.isdisjoint(key.split("/")):
        raise ValueError(f"no file here can be called {key}: write to a server instead")


def _staying(source: str, removed: Set[str], beside: Sidecars) -> Iterator[str]:
    for ref in _images(source):
        if ref.id not in removed:
            beside.stays(ref.id)
            yield ref.id


def _images(source: str) -> Iterator[ImageRef]:
    """Name a folder's images. Raises: OSError: a folder in it cannot be read."""
    for ref in iter_folder(source, lambda key: True):
        if ref.fault is not None:
            raise OSError(f"{ref.path}: {ref.fault.reason}")
        yield ref


def _copy(old: str, new: str, *, link: bool) -> None:
    if os.path.islink(old) and not os.path.exists(old):
        os.symlink(os.readlink(old), new)  # it leads nowhere, and goes on to do so
    elif link:
        os.link(os.path.realpath(old), new)
    else:
        shutil.copy2(old, new)


def _other_files(source: str) -> Iterator[str]:
    """Yield the names below `source` that `iter_folder` leaves out.

    But for links to folders, and what `sscd apply` has put into quarantine.
    """
    files = _remote_files(source, "") if is_url(source) else _local_files(source)
    return (key for key in files if not _is_listed(source, key))


def _local_files(source: str) -> Iterator[str]:
    for folder, folders, names in os.walk(source):
        folders[:] = [name for name in folders if name != QUARANTINE]
        below = os.path.relpath(folder, source)
        for name in names:
            yield name if below == "." else os.path.join(below, name)


def _remote_files(source: str, below: str) -> Iterator[str]:
    for name, entry in list_folder(join(source, below) if below else source).items():
        if name in (".", ".."):
            raise ValueError(f"{below}{name}/ is no name of a folder")
        if entry.is_folder:
            yield from _remote_files(source, f"{below}{name}/")
        else:
            yield f"{below}{name}"


def _is_listed(source: str, key: str) -> bool:
    *folders, name = key.split("/")
    if is_skipped(name, is_folder=False) or any(is_skipped(f, is_folder=True) for f in folders):
        return False
    return is_image_file(key, join(source, key))
