"""What the page knows of a cluster and of each of its images."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

from sscd_cli.images.containers.kinds import is_container
from sscd_cli.storage.servers import is_url


@dataclass(frozen=True, slots=True)
class Shown:
    """An image on the page.

    path: for people, and relative to the folder of the report if it lies below. keeper: the path
    of the image that stays for it. content_hash, pixel_hash: hexadecimal digits of
    BLAKE2b-128, of its bytes and its pixels ("": unknown). fixed: it
    stays whatever is decided, as the images of another data set do.
    """

    path: str
    source: str
    id: str
    keep: bool
    keeper: str
    similarity: float
    content_hash: str
    width: int = 0
    height: int = 0
    file_bytes: int = 0
    mtime_ns: int = 0
    format: str = ""
    pixel_hash: str = ""
    band: str = ""
    reason: str = ""
    explanation: str = ""
    fixed: bool = False

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Shown:
        """Take what the page shows from a record of a report.

        Raises: KeyError: it lacks some. ValueError: a value is of another kind.
        """
        known = {name: record[name] for name in NAMES if record.get(name) is not None}
        for name, value in known.items():
            _check(name, value)
        missing = [name for name in NAMES[:_NEEDED] if name not in known]
        if missing:
            raise KeyError(missing[0])
        return cls(**known)

    @property
    def kind(self) -> str:
        """Return the file format, which a report without it leaves to the name."""
        return self.format or PurePosixPath(self.path).suffix[1:].upper()

    @property
    def is_file(self) -> bool:
        """Say whether a browser may find it as a file of its own."""
        return not is_url(self.path) and not (self.source and is_container(self.source))


NAMES = tuple(field.name for field in fields(Shown))
_NEEDED = NAMES.index("content_hash") + 1
_TYPES = {"float": (float, int), "int": (int,), "bool": (bool,), "str": (str,)}
_KINDS = {field.name: _TYPES[str(field.type)] for field in fields(Shown)}
_KINDS["weakest_link"] = _TYPES["float"]


def _check(name: str, value: Any) -> None:
    if type(value) not in _KINDS[name] or (type(value) is float and not math.isfinite(value)):
        raise ValueError(f"{name} is {value!r}")


@dataclass(frozen=True, slots=True)
class ShownCluster:
    """Images that belong together, each keeper before its copies."""

    name: str
    weakest_link: float
    images: Sequence[Shown]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> ShownCluster:
        """Take a cluster from a record of a report. Raises: as `Shown.of`."""
        _check("weakest_link", record["weakest_link"])
        images = [Shown.of(member) for member in record["members"]]
        return cls(str(record["cluster"]), record["weakest_link"], images)

    def keepers(self) -> list[int]:
        """Return the place of each image's keeper. Raises: KeyError: it is not in the cluster."""
        places = {image.path: place for place, image in enumerate(self.images) if image.keep}
        return [places[image.keeper] for image in self.images]


def clusters_of_matches(records: Iterable[Mapping[str, Any]]) -> Iterator[ShownCluster]:
    """Yield each image with its copies in another data set, which all stay.

    The most similar copy stands for the image: it is what the image is compared with.
    """
    for _, group in groupby(records, key=lambda record: (record["source"], record["id"])):
        matches = list(group)
        others = [Shown.of(_other(match)) for match in matches]
        doubt = "" if matches[0]["checked"] else "not on this machine, so not checked"
        pair = {"keep": False, "keeper": others[0].path, "reason": doubt}
        ours = Shown.of({**matches[0], **pair})
        yield ShownCluster("", matches[0]["similarity"], [others[0], ours, *others[1:]])


def _other(match: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of the image in the other data set."""
    record = {name: match.get(f"other_{name}") for name in NAMES}
    path = match["other"]
    return record | {"path": path, "keeper": path, "keep": True, "similarity": 1.0, "fixed": True}


class Digest:
    """What names a report by its contents, so that a page finds again what was decided on it."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, cluster: ShownCluster) -> None:
        """Add the next cluster."""
        for image in cluster.images:
            text = f"{cluster.name} {image.content_hash} {image.keep}\n{image.path}\0"
            self._hash.update(text.encode("utf-8", "surrogatepass"))

    def __str__(self) -> str:
        return self._hash.hexdigest()


def in_order(clusters: Iterable[ShownCluster]) -> list[ShownCluster]:
    """Return clusters as they are looked at: the largest last, else the weakest link first."""
    return sorted(clusters, key=lambda cluster: (len(cluster.images), cluster.weakest_link))
