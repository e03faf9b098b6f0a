"""What a report of `sscd dedup` says may go, and what stays for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain

from sscd_cli.choices import LOOK_AT
from sscd_cli.reports.reading import Report, refusing
from sscd_cli.reports.reported import Key, Record, ReportedImage


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
        named = (source for source, _ in chain(self.removals, self.keepers))
        return {source for source in named if source.startswith(f"{path}#")}


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
