"""What a report of `sscd dedup` says may go, what stays for it, and whether they are still there.

What acts on a report asks before each act: what goes must have the bytes that were compared, and
what stays for it must have them, too, and be an image.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import chain

from sscd_cli.choices import LOOK_AT
from sscd_cli.errors import SscdError
from sscd_cli.images.decode import decode
from sscd_cli.images.read import Limits, Unreadable, read
from sscd_cli.images.refs import split_columns
from sscd_cli.images.status import is_file, stored_ref
from sscd_cli.reports.reading import Report, refusing
from sscd_cli.reports.reported import Key, Record, ReportedImage
from sscd_cli.storage.servers import is_url


@dataclass(frozen=True, slots=True)
class Removal:
    """An image that may go, and the one that stays for it."""

    image: ReportedImage
    keeper: ReportedImage


@dataclass(frozen=True)
class Removals:
    """What a whole report says. header: its first record. keepers: all images that stay.

    doubtful: images that are only to be looked at beside another, and stay; of matches between
    datasets they are ours, and the keepers those of the other dataset, which nothing touches.
    """

    header: Record
    removals: dict[Key, Removal] = field(default_factory=dict)
    keepers: dict[Key, ReportedImage] = field(default_factory=dict)
    doubtful: dict[Key, Removal] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.removals)

    def tables(self, path: str) -> set[str]:
        """Return how the report names a table of this path: with the columns chosen in it."""
        return self._tables.get(path, set())

    @cached_property
    def _tables(self) -> dict[str, set[str]]:
        found: defaultdict[str, set[str]] = defaultdict(set)
        for source in {source for source, _ in chain(self.removals, self.keepers)}:
            path, columns = split_columns(source)
            if any(columns):
                found[path].add(source)
        return found


def read_removals(report: Report) -> Removals:
    """Read a report to its end.

    Raises: SscdError: it is cut or damaged, or it contradicts itself.
    """
    with refusing(report.name):
        return _of_matches(report) if report.of_matches else _of_clusters(report)


def _of_clusters(report: Report) -> Removals:
    found = Removals(report.header)
    for cluster in report.clusters():
        for image, place in zip(cluster.images, cluster.keepers(), strict=True):
            removal = Removal(image, cluster.images[place])
            if not image.keep:
                found.removals[image.key] = removal
                continue
            found.keepers[image.key] = image
            if removal.keeper is not image:
                found.doubtful[image.key] = removal
    for _, id in found.removals.keys() & found.keepers.keys():
        raise ValueError(f"{id} stays in it and goes")
    if len(found) != report.header["removable"]:
        raise EOFError(f"it holds {len(found)} removable of {report.header['removable']}")
    return found


def _of_matches(report: Report) -> Removals:
    """Return which of our images goes for which of the other dataset, all of which stay.

    An image goes for the most similar one that was found on this machine and is a copy.
    """
    found = Removals(report.header)
    for match in report.matches():
        found.keepers[match.other.key] = match.other
        sure = match.checked and match.image.band != LOOK_AT
        into = found.removals if sure else found.doubtful
        into.setdefault(match.image.key, Removal(match.image, match.other))
    return found


def refuse_changed(image: ReportedImage) -> None:
    """Raise SscdError unless the bytes of an image are those that a report was made from."""
    found = read(stored_ref(image.source, image.id), Limits(sys.maxsize, sys.maxsize))
    if isinstance(found, Unreadable):
        raise SscdError(f"cannot read {_name(image)}: {found.error}", _AGAIN)
    if found.content_hash.hex() != image.content_hash:
        raise SscdError(f"{_name(image)} has changed since the report", _AGAIN)


def refuse_unfit_keeper(image: ReportedImage) -> None:
    """Raise SscdError unless what must stay has the bytes of the report and is an image."""
    found = decode(stored_ref(image.source, image.id), limits=Limits(sys.maxsize, sys.maxsize))
    name = f"{_name(image)}, which must stay,"
    if found.content_hash is not None and found.content_hash.hex() != image.content_hash:
        raise SscdError(f"{name} has changed since the report", _AGAIN)
    if isinstance(found, Unreadable):
        raise SscdError(f"{name} cannot be read: {found.error}", _AGAIN)


def refuse_same_file(removal: Removal) -> None:
    """Raise SscdError where what goes and what stays have become one file."""
    images = removal.image, removal.keeper
    if not all(is_file(image.source, image.id) for image in images):
        return
    one, other = (stored_ref(image.source, image.id).path for image in images)
    if os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other):  # noqa: PTH110, PTH121
        what = f"{_name(removal.image)} and what must stay for it have become one file"
        raise SscdError(what, _AGAIN)


def refuse_going_keepers(removals: Sequence[Removal]) -> None:
    """Raise SscdError where what stays for an image goes itself: two datasets have it in common."""
    lead = cache(os.path.realpath)

    def place(image: ReportedImage) -> tuple[str, str | None]:
        ref = stored_ref(image.source, image.id)
        return ref.path if is_url(ref.path) else lead(ref.path), ref.member

    going = {place(removal.image) for removal in removals}
    for removal in removals:
        if place(removal.keeper) in going:
            what = f"{_name(removal.keeper)}, which must stay for another image, is to go itself"
            raise SscdError(what, "compare with a dataset that has no image of this one")


_AGAIN = "run sscd dedup again"


def _name(image: ReportedImage) -> str:
    return f"{image.id} in {image.source or 'a list'}"
