"""How the page shows images and clusters of a report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import PurePosixPath

from sscd_cli.images.containers.kinds import is_container
from sscd_cli.reports.reported import ReportedCluster, ReportedImage, ReportedMatch
from sscd_cli.storage.servers import is_url


def kind(image: ReportedImage) -> str:
    """Return the file format, which a report without it leaves to the name."""
    return image.format or PurePosixPath(image.path).suffix[1:].upper()


def is_shown_by_browser(image: ReportedImage) -> bool:
    """Say whether a browser may find an image as a file of its own."""
    return not is_url(image.path) and not (image.source and is_container(image.source))


def clusters_of_matches(matches: Iterable[ReportedMatch]) -> Iterator[ReportedCluster]:
    """Yield each image with its copies in another dataset, which all stay.

    The most similar copy stands for the image: it is what the image is compared with.
    """
    for _, group in groupby(matches, key=lambda match: match.image.key):
        first, *more = group
        doubt = "" if first.checked else "not on this machine, so not checked"
        ours = replace(first.image, reason=doubt)
        others = (match.other for match in more)
        yield ReportedCluster("", ours.similarity, [first.other, ours, *others])


class Digest:
    """What names a report by its contents, so that a page finds again what was decided on it."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, cluster: ReportedCluster) -> None:
        """Add the next cluster."""
        for image in cluster.images:
            text = f"{cluster.name} {image.content_hash} {image.keep}\n{image.path}\0"
            self._hash.update(text.encode("utf-8", "surrogatepass"))

    def __str__(self) -> str:
        return self._hash.hexdigest()


def in_order(clusters: Iterable[ReportedCluster]) -> list[ReportedCluster]:
    """Return clusters as they are looked at: the largest last, else the weakest link first."""
    return sorted(clusters, key=lambda cluster: (len(cluster.images), cluster.weakest_link))
