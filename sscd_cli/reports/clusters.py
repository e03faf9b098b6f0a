"""What a report says of clusters: every format writes these records and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.choices import EDITED, EXACT_BYTES, LOOK_AT, SAME_PIXELS
from sscd_cli.descriptors.read import DescriptorSet
from sscd_cli.machines.stages import each
from sscd_cli.matching.copies import Clusters
from sscd_cli.storage.places import shown_path, working_folder


@dataclass(frozen=True, slots=True)
class Member:
    """One image of a cluster.

    path: where it is, relative to the working directory if it lies below. keep: it stays.
    keeper: the path of the image that stays for it, or beside which it is to be looked at; its
    own if neither. similarity: to the keeper; to itself, a cosine of 1.0, if it is its own.
    band: one of `BANDS`, "" for its own keeper. reason: why the keeper stays for it: what this
    image is of the keeper. verdict: of a second look at the pixels of both, "copy confirmed",
    "other shot" or "cannot tell"; "" where there was none. width, height: pixels. format: of the
    file, as Pillow names it. frames: pictures in it. content: how much there is to see (see
    `images.decode`); both None where unknown. mtime_ns: when the file was written.
    content_hash: BLAKE2b-128 of its bytes, in hexadecimal digits. pixel_hash: BLAKE3-128
    of its pixels, "" where unknown. id, source: its key in the descriptor dataset.
    """

    path: str
    keep: bool
    keeper: str
    similarity: float
    band: str
    reason: str
    verdict: str
    width: int
    height: int
    format: str
    frames: int | None
    content: int | None
    file_bytes: int
    mtime_ns: int
    content_hash: str
    pixel_hash: str
    id: str
    source: str


@dataclass(frozen=True, slots=True)
class ExplainedMember(Member):
    """The same, and which single edit accounts for it and its keeper; "" if kept."""

    explanation: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """Images joined by chains of pairs at or above the threshold.

    cluster: its name, 12 hexadecimal digits that follow from the contents of the members,
    whatever the run. weakest_link: the similarity above which the cluster would fall apart.
    scale: of all similarities, "cosine" or what was done before and after (see
    `scoring.scale`). members: the kept ones first, each followed by what it stands for, the
    most similar first.
    """

    cluster: str
    weakest_link: float
    scale: str
    members: tuple[Member, ...]


Reason = Callable[[int, int], str]


def describe(
    stored: DescriptorSet,
    found: Clusters,
    scale: str,
    reason: Reason = lambda keeper, copy: "",
    verdicts: Mapping[int, str] = MappingProxyType({}),
) -> Iterator[Cluster]:
    """Yield the clusters one by one, in the order of their first images."""
    rows = np.flatnonzero(found.clustered)
    if not len(rows):
        return
    kept = found.keeper[rows] == rows
    head, beside = found.keeper[rows], found.look_at[rows]
    # an image to be looked at follows its keeper's copies, and is followed by its own
    lead = np.where(beside, rows, head)
    order = (rows, -found.similarity[rows], ~(kept | beside), lead, found.look_at[lead])
    rows = rows[np.lexsort((*order, found.keeper[lead], found.component[rows]))]
    starts = np.flatnonzero(np.diff(found.component[rows], prepend=-1))
    here = working_folder()
    for members in each(np.split(rows, starts[1:]), "writing clusters", len(starts)):
        yield Cluster(
            cluster=_name(stored.columns["content_hash"][members]),
            weakest_link=round(float(found.weakest_link[members[0]]), 6),
            scale=scale,
            members=tuple(
                _member(stored, found, int(row), here, reason, verdicts) for row in members
            ),
        )


def _name(hashes: NDArray[np.uint8]) -> str:
    contents = b"".join(sorted(row.tobytes() for row in hashes))
    return hashlib.blake2b(contents, digest_size=6).hexdigest()


def _member(
    stored: DescriptorSet,
    found: Clusters,
    row: int,
    here: str,
    reason: Reason,
    verdicts: Mapping[int, str],
) -> Member:
    keeper = int(found.keeper[row])
    return Member(
        path=shown_path(stored.path(row), here),
        keep=keeper == row or bool(found.look_at[row]),
        keeper=shown_path(stored.path(keeper), here),
        similarity=round(float(found.similarity[row]), 6),
        band=_band(stored, found, row),
        reason=reason(keeper, row) if keeper != row else "",
        verdict=verdicts.get(row, ""),
        **facts(stored, row),
    )


def facts(stored: DescriptorSet, row: int) -> dict[str, Any]:
    """Return what a report says of an image and its file, whatever it is compared with."""
    numbers = {name: int(stored.columns[name][row]) for name in _NUMBERS}
    pixels = stored.columns["pixel_hash"][row]
    return {
        **numbers,
        "frames": numbers["frames"] or None,
        "content": None if numbers["content"] < 0 else numbers["content"],
        "format": str(stored.columns["format"][row]),
        "content_hash": stored.columns["content_hash"][row].tobytes().hex(),
        "pixel_hash": pixels.tobytes().hex() if pixels.any() else "",
        "id": stored.ids[row],
        "source": stored.sources[row],
    }


_NUMBERS = ("width", "height", "frames", "content", "file_bytes", "mtime_ns")


def _band(stored: DescriptorSet, found: Clusters, row: int) -> str:
    keeper = int(found.keeper[row])
    if keeper == row:
        return ""
    if found.look_at[row]:
        return LOOK_AT
    return likeness(stored, row, stored, keeper)


def likeness(left: DescriptorSet, row: int, right: DescriptorSet, other: int) -> str:
    """Return which of the first three `BANDS` two copies are in."""
    for column, band in (("content_hash", EXACT_BYTES), ("pixel_hash", SAME_PIXELS)):
        digest = left.columns[column][row]
        if digest.any() and (digest == right.columns[column][other]).all():
            return band
    return EDITED
