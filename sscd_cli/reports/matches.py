"""What a report says of matches between two datasets, and how each format writes it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import groupby
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from sscd_cli.choices import LOOK_AT, OTHER_SHOT
from sscd_cli.descriptors.read import DescriptorSet
from sscd_cli.errors import printable
from sscd_cli.images.status import is_file
from sscd_cli.matching.join import Pairs
from sscd_cli.reports.clusters import facts, likeness
from sscd_cli.reports.formats import csv_report, json_lines, path_lines, write_parquet
from sscd_cli.reports.header import Header
from sscd_cli.reports.reported import Decide, ReportedMatch, record_of, undecided
from sscd_cli.reports.review.page import clusters_of_matches, page
from sscd_cli.storage.places import shown_path, working_folder


@dataclass(frozen=True, slots=True)
class Match:
    """An image of our dataset, its copy in the other one, and their similarity.

    checked: both files were looked for and are there, as they were when they were embedded.
    width to source: what is known of our image, as of a `clusters.Member`; other_width to
    other_source: the same of the copy. band: one of `choices.BANDS`. verdict: of a
    second look, as of a `clusters.Member`. scale: of the similarity, see `scoring.scale`.
    """

    path: str
    other: str
    similarity: float
    band: str
    verdict: str
    checked: bool
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
    other_width: int
    other_height: int
    other_format: str
    other_frames: int | None
    other_content: int | None
    other_file_bytes: int
    other_mtime_ns: int
    other_content_hash: str
    other_pixel_hash: str
    other_id: str
    other_source: str
    scale: str


COLUMNS = tuple(field.name for field in fields(Match))


def describe(
    ours: DescriptorSet,
    theirs: DescriptorSet,
    pairs: Pairs,
    checked_P: NDArray[np.bool_],
    sure_P: NDArray[np.bool_],
    verdicts: Mapping[int, str],
    scale: str,
) -> Iterator[Match]:
    """Yield the matches, our images in their order, the most similar copy of each first."""
    here = working_folder()
    for place in np.lexsort((pairs.right, -pairs.similarity, pairs.left)):
        row, other = int(pairs.left[place]), int(pairs.right[place])
        yield Match(
            path=shown_path(ours.path(row), here),
            other=shown_path(theirs.path(other), here),
            similarity=round(float(pairs.similarity[place]), 6),
            band=likeness(ours, row, theirs, other) if sure_P[place] else LOOK_AT,
            verdict=verdicts.get(int(place), ""),
            checked=bool(checked_P[place]),
            **facts(ours, row),
            **{f"other_{name}": value for name, value in facts(theirs, other).items()},
            scale=scale,
        )


def write_matches(
    matches: Iterable[Match],
    header: Header,
    format: str,
    stream: BinaryIO,
    *,
    null: bool = False,
    base: str = ".",
    decide: Decide = undecided,
) -> None:
    """Write matches to a binary stream in one of `choices.ReportFormat`.

    paths: our files that have a copy there which was found and is no image of ours, each once,
    one a line or NUL-separated; none that is only to be looked at. jsonl, csv and parquet begin
    with the header. base: the working directory as seen from where the page will lie. decide: what
    it begins with.
    Raises: UsageError: a path holds a line break and `null` is not given.
    """
    if format == "parquet":
        write_parquet(stream, header, COLUMNS, map(record_of, matches))
        return
    for line in _lines(matches, header, format, null, base, decide):
        stream.write(line.encode("utf-8", "surrogateescape"))


def _lines(
    matches: Iterable[Match],
    header: Header,
    format: str,
    null: bool,
    base: str,
    decide: Decide,
) -> Iterator[str]:
    if format == "csv":
        yield from csv_report(header, COLUMNS, map(record_of, matches))
    elif format == "jsonl":
        yield from json_lines(header, matches)
    elif format == "paths":
        yield from path_lines(_removable(matches), null)
    elif format == "html":
        clusters = clusters_of_matches(ReportedMatch.of(record_of(match)) for match in matches)
        yield from page({**header.record(), "base": base}, clusters, decide=decide)
    else:
        for path, group in groupby(matches, key=lambda match: match.path):
            yield f"{printable(path)}\n"
            yield from map(_text_line, group)


def _text_line(match: Match) -> str:
    doubt = OTHER_SHOT if match.verdict == OTHER_SHOT else LOOK_AT
    doubts = f"  ({doubt})" if match.band == LOOK_AT else ""
    doubts += "" if match.checked else "  (not checked)"
    return f"  {match.similarity:.3f}  {printable(match.other)}{doubts}\n"


def _removable(matches: Iterable[Match]) -> Iterator[str]:
    """Yield our images with a copy that stays when all of them go: found, and not ours, too."""
    files = [(match.path, _file(match.other), _is_removable(match)) for match in matches]
    ours = {_file(path) for path, _, _ in files}
    copied = (path for path, other, fine in files if fine and other not in ours)
    yield from (path for path, _ in groupby(copied))


def _is_removable(match: Match) -> bool:
    return match.checked and match.band != LOOK_AT and is_file(match.source, match.id)


def _file(path: str) -> str | tuple[int, int]:
    """Return what goes when a path is removed: a name, or the one file that has no other link.

    A folder mounted twice gives such a file two paths.
    """
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):  # a member of an archive
        return os.path.realpath(path)
    return (status.st_dev, status.st_ino) if status.st_nlink == 1 else os.path.realpath(path)
