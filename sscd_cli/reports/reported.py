"""What a report says, as what acts on one or shows it takes it: images, clusters, matches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sscd_cli.choices import BANDS

Record = Mapping[str, Any]
Key = tuple[str, str]  # source, id
Hashes = tuple[str, str]  # of the bytes and of the pixels, "" unknown
# of a sorted pair of content hashes: the verdict, and the hash of what stays ("" if both do)
Decided = Mapping[tuple[str, str], tuple[str, str]]
Decide = Callable[[Iterable[Hashes]], Decided]


def record_of(item: Any) -> dict[str, Any]:
    """Return the fields of a data class by their names.

    No deeper, and without the copies of all values that make `asdict` seven times as slow.
    """
    return {field.name: getattr(item, field.name) for field in fields(item)}


def undecided(images: Iterable[Hashes]) -> Decided:
    """Decide nothing."""
    return {}


@dataclass(frozen=True, slots=True)
class ReportedImage:
    """An image as a report knows it.

    path: for people, and relative to the folder of the report if it lies below. keep: it stays.
    keeper: the path of the image that stays for it, or beside which it is to be looked at.
    content_hash, pixel_hash: hexadecimal digits of BLAKE2b-128 of its bytes, and of BLAKE3-128 of
    its pixels ("": unknown). verdict: of a second look. fixed: it stays whatever is
    decided, as the images of another dataset do.
    """

    path: str
    source: str
    id: str
    keep: bool
    keeper: str
    similarity: float
    content_hash: str
    file_bytes: int
    mtime_ns: int
    width: int = 0
    height: int = 0
    format: str = ""
    pixel_hash: str = ""
    band: str = ""
    reason: str = ""
    verdict: str = ""
    explanation: str = ""
    fixed: bool = False

    @classmethod
    def of(cls, record: Record) -> ReportedImage:
        """Take what is of use from a record. Raises: KeyError, ValueError: it is damaged."""
        known = {name: record[name] for name in NAMES if record.get(name) is not None}
        for name, value in known.items():
            _check(name, value)
        missing = [name for name in NAMES[:_NEEDED] if name not in known]
        if missing:
            raise KeyError(missing[0])
        if len(known["content_hash"]) != 32:
            raise ValueError(f"content_hash is {known['content_hash']!r}")
        return cls(**known)

    @property
    def key(self) -> Key:
        """Return what names it in a descriptor dataset."""
        return self.source, self.id

    @property
    def hashes(self) -> Hashes:
        """Return by what decisions know it."""
        return self.content_hash, self.pixel_hash


NAMES = tuple(field.name for field in fields(ReportedImage))
_NEEDED = NAMES.index("width")
_TYPES = {"float": (float, int), "int": (int,), "bool": (bool,), "str": (str,)}
_KINDS = {field.name: _TYPES[str(field.type)] for field in fields(ReportedImage)}
_KINDS |= {"weakest_link": _TYPES["float"], "checked": _TYPES["bool"]}


def _check(name: str, value: Any) -> None:
    if type(value) not in _KINDS[name] or (type(value) is float and not math.isfinite(value)):
        raise ValueError(f"{name} is {value!r}")


@dataclass(frozen=True, slots=True)
class ReportedCluster:
    """Images that belong together, each keeper before its copies."""

    name: str
    weakest_link: float
    images: Sequence[ReportedImage]

    @classmethod
    def of(cls, record: Record) -> ReportedCluster:
        """Take a cluster from a record. Raises: as `ReportedImage.of`."""
        _check("weakest_link", record["weakest_link"])
        images = [ReportedImage.of(member) for member in record["members"]]
        return cls(str(record["cluster"]), record["weakest_link"], images)

    def keepers(self) -> list[int]:
        """Return the place of each image's keeper. Raises: ValueError: it contradicts itself."""
        places = {image.path: place for place, image in enumerate(self.images) if image.keep}
        for image in self.images:
            if image.keeper not in places:
                raise ValueError(f"{image.path} goes for {image.keeper}, which does not stay in it")
            if image.path in places and not image.keep:
                raise ValueError(f"{image.path} stays in it and goes")
        return [places[image.keeper] for image in self.images]


@dataclass(frozen=True, slots=True)
class ReportedMatch:
    """An image, and its copy in another dataset, which stays. checked: both files are there."""

    image: ReportedImage
    other: ReportedImage
    checked: bool

    @classmethod
    def of(cls, record: Record) -> ReportedMatch:
        """Take a match from a record. Raises: as `ReportedImage.of`."""
        path = record["other"]
        image = ReportedImage.of({**record, "keep": False, "keeper": path})
        if image.band not in BANDS:
            raise ValueError(f"band is {image.band!r}")
        _check("checked", record["checked"])
        theirs = {name: record.get(f"other_{name}") for name in NAMES}
        stays = {"keep": True, "keeper": path, "similarity": 1.0, "fixed": True}
        return cls(image, ReportedImage.of({**theirs, "path": path, **stays}), record["checked"])
