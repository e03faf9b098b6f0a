"""The images below a folder, named lazily: one folder's names are in memory, and its ancestors'."""

# names stay strings: a Path for each file would cost more than listing it
# ruff: noqa: PTH116

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from sscd_cli.errors import cannot_read
from sscd_cli.images.refs import ImageRef, Place, is_image_name
from sscd_cli.storage.servers import is_url, join, list_folder

# version control folders that a leading dot does not hide already
VCS_FOLDERS = frozenset({b"CVS", b"_darcs"})


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder being walked: the names left in it (last first), those of folders end in "/".

    places: what the server of a remote one tells of its files, so that each is asked for once.
    """

    key: str
    names: list[bytes]
    identity: tuple[int, int]
    places: Mapping[bytes, Place] = field(default_factory=dict)


def iter_folder(root: str, enter: Callable[[str], bool]) -> Iterator[ImageRef]:
    """Name the images below `root`, ids in the order of their bytes.

    Hidden files and version control folders are skipped, symbolic links followed, a link to a
    folder that it lies in is not. enter: asked with the id of each folder.
    Raises: SscdError: a folder cannot be read.
    """
    # one open level per depth, so that depth has no limit
    levels = [_opened(root, "")]
    while levels:
        level = levels[-1]
        if not level.names:
            levels.pop()
            continue
        name = level.names.pop()
        key = level.key + os.fsdecode(name)
        path = join(root, key)
        if not key.endswith("/"):
            yield ImageRef(key, root, path, place=level.places.get(name))
        elif enter(key[:-1]):
            below = _opened(path, key)
            if all(below.identity != above.identity for above in levels):
                levels.append(below)


def _opened(path: str, key: str) -> _Folder:
    """List one folder; one that has vanished since its parent was listed has no names."""
    try:
        if is_url(path):
            return _remote(path, key)
        status = os.stat(path)
        with os.scandir(path) as entries:
            names = sorted((name for e in entries if (name := _listing(e))), reverse=True)
    except FileNotFoundError:
        return _Folder(key, [], (0, 0))
    except OSError as error:
        fix = f"make it readable or leave it out with --exclude '{key[:-1]}'"
        fix = fix if key else "make it readable"
        raise cannot_read("folder", path.rstrip("/") or "/", error, fix) from None
    return _Folder(key, names, (status.st_dev, status.st_ino))


def _remote(url: str, key: str) -> _Folder:
    """List a folder on a server, with what it tells of its files."""
    entries = {
        _listed_name(name, entry.is_folder): entry for name, entry in list_folder(url).items()
    }
    entries.pop(b"", None)
    names = sorted(entries, reverse=True)
    places = {name: Place(0, e.size, e.mtime_ns) for name, e in entries.items() if e.is_file}
    return _Folder(key, names, (0, hash(url)), places)


def _listing(entry: os.DirEntry[str]) -> bytes:
    """The name under which `entry` is listed, sorting as its id does; empty to leave it out."""
    return b"" if entry.name.startswith(".") else _listed_name(entry.name, _is_folder(entry))


def _listed_name(name: str, is_folder: bool) -> bytes:
    if name.startswith("."):
        return b""
    if is_folder:
        return b"" if os.fsencode(name) in VCS_FOLDERS else os.fsencode(name) + b"/"
    return os.fsencode(name) if is_image_name(name) else b""


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, for one
        return False
