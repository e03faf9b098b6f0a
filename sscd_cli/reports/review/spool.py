"""The clusters of a report on disk, so that a server of any number of them needs little memory."""

from __future__ import annotations

import json
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import attrgetter
from threading import Lock

from sscd_cli.reports.reported import NAMES, ReportedCluster, ReportedImage

_values = attrgetter(*NAMES)


class Spool:
    """Clusters in a temporary file, which closing removes, and 16 bytes of memory for each."""

    def __init__(self, clusters: Iterable[ReportedCluster]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`
        self._lock = Lock()
        self._starts = array("Q")
        self._first = array("Q")
        self.images = 0
        for cluster in clusters:
            self._starts.append(self._file.tell())
            self._first.append(self.images)
            row = cluster.name, cluster.weakest_link, [_values(image) for image in cluster.images]
            self._file.write(json.dumps(row).encode() + b"\n")
            self.images += len(cluster.images)

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[ReportedCluster]:
        return map(self._cluster, range(len(self)))

    def image(self, number: int) -> ReportedImage:
        """Return the image of this number, of all in their order. Raises: IndexError: none."""
        if not 0 <= number < self.images:
            raise IndexError(number)
        place = bisect_right(self._first, number) - 1
        return self._cluster(place).images[number - self._first[place]]

    def _cluster(self, place: int) -> ReportedCluster:
        with self._lock:
            self._file.seek(self._starts[place])
            name, weakest_link, images = json.loads(self._file.readline())
        return ReportedCluster(name, weakest_link, [ReportedImage(*image) for image in images])
