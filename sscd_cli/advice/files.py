"""Are the files behind stored descriptors still where and as they were when they were embedded?

A report may lead to a removal, and what is removed must have a copy that is still there.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sscd_cli.descriptors.read import DescriptorSet
from sscd_cli.images.refs import ImageRef
from sscd_cli.images.status import is_here, is_unchanged, stored_ref
from sscd_cli.storage.servers import is_url


class _Place(NamedTuple):
    """What tells one image from all others."""

    device: int
    file: int | str
    member: str | None


@dataclass(frozen=True, eq=False)
class FileCheck:
    """What became of the files of some rows, each a mask over all N rows of the dataset.

    stale: vanished, or not of the size and time that were embedded. elsewhere: not to be looked
    for, because the whole source is not on this machine or closed to us. aliases: another row
    that is not stale names the very same file, be it by a link, so that removing one would take
    the other away or free nothing; of files elsewhere, those with the very same path. linked: the
    file has other hard links, so that removing it frees nothing.
    """

    stale: NDArray[np.bool_]
    elsewhere: NDArray[np.bool_]
    aliases: NDArray[np.bool_]
    linked: NDArray[np.bool_]


def check_files(stored: DescriptorSet, rows: Iterable[int]) -> FileCheck:
    """Compare the files of `rows` with what was embedded; reads none of them."""
    found = FileCheck(*(np.zeros(len(stored), bool) for _ in range(4)))
    here = cache(is_here)
    places: defaultdict[_Place, list[int]] = defaultdict(list)
    for row in rows:
        if not here(stored.sources[row]):
            found.elsewhere[row] = True
            places[_Place(0, stored.path(row), None)].append(row)
        elif as_embedded := _as_embedded(stored, row):
            place, found.linked[row] = as_embedded
            places[place].append(row)
        else:
            found.stale[row] = True
    for shared in places.values():
        if len(shared) > 1:
            found.aliases[_aliases(stored, shared)] = True
    return found


def is_as_embedded(stored: DescriptorSet, row: int) -> bool:
    """Whether the file of one row is here, and as it was when it was embedded."""
    return _as_embedded(stored, row) is not None


def _as_embedded(stored: DescriptorSet, row: int) -> tuple[_Place, bool] | None:
    """Return where an image lies as it was embedded, and whether its file has other hard links."""
    columns = stored.columns
    ref = stored_ref(stored.sources[row], stored.ids[row])
    try:
        is_same = is_unchanged(ref, columns["file_bytes"][row], columns["mtime_ns"][row])
        return _place(ref) if is_same else None
    except Exception:  # whatever stands there now, it is not the image
        return None


def _place(ref: ImageRef) -> tuple[_Place, bool]:
    if is_url(ref.path):
        return _Place(0, ref.path, ref.member), False
    status = os.stat(ref.path)  # noqa: PTH116
    return _Place(status.st_dev, status.st_ino, ref.member), status.st_nlink > 1


def _aliases(stored: DescriptorSet, rows: list[int]) -> list[int]:
    """Return all rows of one file but the first of those that links lead to least."""
    stays = min(rows, key=lambda row: _led_to(stored.path(row)))
    return [row for row in rows if row != stays]


def _led_to(path: str) -> int:
    """Return 2 for a link, 1 for a file in a folder that a link leads to, else 0."""
    if is_url(path):
        return 0
    return 2 if os.path.islink(path) else int(os.path.realpath(path) != path)  # noqa: PTH114
