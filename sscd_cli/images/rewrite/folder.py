"""A folder copied without some images; files that are no images come along."""

# names stay strings: a Path for each file would cost more than copying some of them
# ruff: noqa: PTH103, PTH114, PTH110, PTH115, PTH118, PTH120, PTH211

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Set
from functools import partial
from itertools import chain

from sscd_cli.images.folder import is_image_file, is_skipped, iter_folder
from sscd_cli.images.refs import ImageRef
from sscd_cli.images.sidecars import Sidecars
from sscd_cli.storage.servers import at_once, copy_file, is_url, join, list_folder

Copy = Callable[[str, str], None]


def copy_folder(
    source: str, target: str, removed: Set[str], *, link: bool, uploaded: Callable[[str], None]
) -> int:
    """Copy `source` to `target`, each here or on a server, without the images `removed`.

    What lies beside a removed image goes with it (see `images.sidecars`); its number is returned.

    Here times and permissions are kept, and a link to a file or a folder of images is copied as
    what it leads to. link: make hard links instead of copies, so that no image takes space twice.
    uploaded: told of each file that is on a server now, perhaps by another thread.
    Raises: OSError: a file cannot be read, written or linked. ValueError: a name on a server
        would lead out of a folder here.
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
    """Yield the names below `source` that `iter_folder` leaves out, links to folders apart."""
    files = _remote_files(source, "") if is_url(source) else _local_files(source)
    return (key for key in files if not _is_listed(source, key))


def _local_files(source: str) -> Iterator[str]:
    for folder, _, names in os.walk(source):
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
