"""Are the files behind stored descriptors still where and as they were when they were embedded?

A report may lead to a removal, and what is removed must have a copy that is still there.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sscd_cli.storage.servers import is_url

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sscd_cli.descriptors.read import DescriptorSet
    from sscd_cli.images.refs import ImageRef


class _Place(NamedTuple):
    """What tells one image from all others. links: how many names its file may go by."""

    device: int
    file: int | str
    member: str | None
    links: int


@dataclass(frozen=True, eq=False)
class FileCheck:
    """What became of the files of some rows, each a mask over all N rows of the dataset.

    stale: vanished, or not of the size and time that were embedded. elsewhere: not to be looked
    for, because the whole source is not on this machine or closed to us. aliases: another row
    that is not stale names the very same file, so that removing one would take the other away;
    of files elsewhere, those with the very same path.
    """

    stale: NDArray[np.bool_]
    elsewhere: NDArray[np.bool_]
    aliases: NDArray[np.bool_]


def check_files(stored: DescriptorSet, rows: Iterable[int]) -> FileCheck:
    """Compare the files of `rows` with what was embedded; reads none of them."""
    import numpy as np

    from sscd_cli.images.read import is_here, is_unchanged, stored_ref

    found = FileCheck(*(np.zeros(len(stored), bool) for _ in range(3)))
    sizes, times = stored.columns["file_bytes"], stored.columns["mtime_ns"]
    here: dict[str, bool] = {"": True}
    places: defaultdict[_Place, list[int]] = defaultdict(list)
    for row in rows:
        source = stored.sources[row]
        if source not in here:
            here[source] = is_here(source)  # False without permission
        if not here[source]:
            found.elsewhere[row] = True
            places[_Place(0, stored.path(row), None, 1)].append(row)
            continue
        ref = stored_ref(source, stored.ids[row])
        try:
            if is_unchanged(ref, sizes[row], times[row]):
                places[_place(ref)].append(row)
            else:
                found.stale[row] = True
        except Exception:  # whatever stands there now, it is not the image
            found.stale[row] = True
    for place, shared in places.items():
        if len(shared) > 1:
            found.aliases[_aliases(stored, shared, place.links)] = True
    return found


def is_as_embedded(stored: DescriptorSet, row: int) -> bool:
    """Whether the file of one row is here, and as it was when it was embedded."""
    from sscd_cli.images.read import is_unchanged, stored_ref

    columns = stored.columns
    ref = stored_ref(stored.sources[row], stored.ids[row])
    try:
        return is_unchanged(ref, columns["file_bytes"][row], columns["mtime_ns"][row])
    except Exception:  # as in `check_files`
        return False


def _place(ref: ImageRef) -> _Place:
    if is_url(ref.path):
        return _Place(0, ref.path, ref.member, 1)
    status = os.stat(ref.path)  # noqa: PTH116
    return _Place(status.st_dev, status.st_ino, ref.member, status.st_nlink)


def _aliases(stored: DescriptorSet, rows: list[int], links: int) -> list[int]:
    """Return those of some rows with one file that name what another of them names, too.

    Of one name twice (sources overlap, a folder is linked) the first row stays, and of a link
    and its file the file. Hard links, and links to a file that is no row, are names of their
    own: removing one takes nothing from the others. Where there are more names than links, some
    are of one (a folder mounted twice, a disk that ignores case): then the first row stays.
    """
    names = {row: _name(stored.path(row)) for row in rows}
    files = {name for name, is_link in names.values() if not is_link}
    if len(files) > links:
        stays = next(row for row, (_, is_link) in names.items() if not is_link)
        return [row for row in rows if row != stays]
    taken: set[str] = set()
    aliases = []
    for row, (name, is_link) in names.items():
        if name in taken or (is_link and os.path.realpath(name) in files):
            aliases.append(row)
        taken.add(name)
    return aliases


def _name(path: str) -> tuple[str, bool]:
    """Return the absolute name of a file, links to its folders resolved; and whether it links."""
    if is_url(path):
        return path, False
    folder, base = os.path.split(path)
    name = os.path.join(os.path.realpath(folder), base)  # noqa: PTH118
    return name, os.path.islink(name)  # noqa: PTH114
