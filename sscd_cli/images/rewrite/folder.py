"""A folder copied without some images; files that are no images come along."""

# names stay strings: a Path for each file would cost more than copying some of them
# ruff: noqa: PTH103, PTH114, PTH110, PTH115, PTH118, PTH120, PTH211

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Set

from sscd_cli.images.folder import VCS_FOLDERS, iter_folder
from sscd_cli.images.refs import is_hidden, is_image_name


def copy_folder(source: str, target: str, removed: Set[str], *, link: bool) -> None:
    """Copy `source` to `target` without the images `removed`, with times and permissions.

    A link to a file or a folder of images is copied as what it leads to. link: make hard links
    instead of copies, so that no image takes space twice.
    Raises: OSError: a file cannot be read, written or linked.
    """
    os.makedirs(target)
    images = (ref.id for ref in iter_folder(source, lambda key: True) if ref.id not in removed)
    for keys in (images, _other_files(source)):
        for key in keys:
            new = os.path.join(target, key)
            os.makedirs(os.path.dirname(new), exist_ok=True)
            _copy(os.path.join(source, key), new, link=link)


def _copy(old: str, new: str, *, link: bool) -> None:
    if os.path.islink(old) and not os.path.exists(old):
        os.symlink(os.readlink(old), new)  # it leads nowhere, and goes on to do so
    elif link:
        os.link(os.path.realpath(old), new)
    else:
        shutil.copy2(old, new)


def _other_files(source: str) -> Iterator[str]:
    """Yield the names below `source` that `iter_folder` leaves out, links to folders apart."""
    for folder, _, names in os.walk(source):
        below = os.path.relpath(folder, source)
        for name in names:
            key = name if below == "." else os.path.join(below, name)
            if not _is_listed(key):
                yield key


def _is_listed(key: str) -> bool:
    in_vcs = not VCS_FOLDERS.isdisjoint(map(os.fsencode, key.split("/")[:-1]))
    return is_image_name(key) and not is_hidden(key) and not in_vcs
