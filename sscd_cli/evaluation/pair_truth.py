"""A table of pairs that someone looked at: which images are copies of one another.

    left,right            two images
    label                 optional: 1, true, yes or copy; 0, false, no or different
    group                 optional: whatever tells the pairs apart, such as the edit

A column of any other name is refused: it could be a label by another name.
With labels, the pairs of the table are all that counts. Without, they are all the copies there
are: every other pair of the dataset is no copy, but for those that follow from two in the table
(copies of one image), which count neither way.

An image is named by its id, by its path, or by enough of its end to be the only one.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sscd_cli.errors import SscdError, reason_of

_LABELS = {
    **dict.fromkeys(("1", "true", "yes", "copy"), True),
    **dict.fromkeys(("0", "false", "no", "different"), False),
}
_COLUMNS = ("left", "right", "label", "group")
_FORM = "write a header left,right[,label][,group] and a pair a line"


@dataclass(frozen=True, slots=True)
class TruthPair:
    """One line of the table; group is empty where there is no such column."""

    line: int
    left: str
    right: str
    is_copy: bool
    group: str


@dataclass(frozen=True)
class PairTruth:
    """The table: whether it has labels, and groups."""

    pairs: tuple[TruthPair, ...]
    labelled: bool
    grouped: bool


def read_truth(path: Path) -> PairTruth:
    """Read a table. Raises: SscdError: it cannot be read, or a line is not as it should be."""
    try:
        with (
            path.open("rb") as stream,
            io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="") as file,
        ):
            reader = csv.reader(file)
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, csv.Error) as error:
        raise SscdError(f"cannot read {path}: {reason_of(error)}", "name a CSV file") from error
    header = [name.strip().lower() for name in rows[0][1]] if rows else []
    _check_header(path, header)
    pairs = [_pair(path, line, header, row) for line, row in rows[1:] if row]
    if not any(pair.is_copy for pair in pairs):
        raise SscdError(f"{path} names no copies", "label some pairs 1")
    return PairTruth(tuple(pairs), labelled="label" in header, grouped="group" in header)


def _check_header(path: Path, header: Sequence[str]) -> None:
    for name in ("left", "right"):
        if name not in header:
            raise SscdError(f"{path} has no column {name}", _FORM)
    for name in header:
        if name not in _COLUMNS:
            what = f"column {name!r} of {path} is none of {', '.join(_COLUMNS)}"
            raise SscdError(what, "rename it or leave it out")
        if header.count(name) > 1:
            raise SscdError(f"{path} has several columns {name}", _FORM)


def _pair(path: Path, line: int, header: Sequence[str], values: Sequence[str]) -> TruthPair:
    if len(values) != len(header):
        what = f"line {line} of {path} has {len(values)} of {len(header)} values"
        raise SscdError(what, "write one for each column, quoted where it holds a comma")
    row = dict(zip(header, values, strict=True))
    left, right = row["left"], row["right"]
    if not left or not right:
        raise SscdError(f"line {line} of {path} names no two images", _FORM)
    label = row.get("label", "1").strip().lower()
    if label not in _LABELS:
        what = f"line {line} of {path} has the label {label!r}"
        raise SscdError(what, "write 1 for copies and 0 for different images")
    return TruthPair(line, left, right, _LABELS[label], row.get("group", "").strip())


class ImageNames:
    """What the images of a dataset may be called; they are numbered as they come."""

    def __init__(self, ids: Sequence[str], paths: Sequence[str]) -> None:
        self._paths = paths
        self._by_name: dict[str, list[int]] = {}
        self._by_end: dict[str, list[int]] = {}
        for row, (id, path) in enumerate(zip(ids, paths, strict=True)):
            for name in {id, path}:
                self._by_name.setdefault(name, []).append(row)
            self._by_end.setdefault(path.rpartition("/")[2], []).append(row)

    def find(self, name: str) -> int | None:
        """Return the image of a name, None if there is none.

        A whole id or path goes before the end of one. Raises: SscdError: it names several.
        """
        normal = os.path.normpath(name)
        here = os.path.join(os.getcwd(), normal)  # noqa: PTH109, PTH118
        rows = {row for key in (name, normal, here) for row in self._by_name.get(key, ())}
        if not rows:
            ends = self._by_end.get(normal.rpartition("/")[2], ())
            rows = {row for row in ends if self._paths[row].endswith(f"/{normal}")}
        if len(rows) > 1:
            first, second = sorted(self._paths[row] for row in rows)[:2]
            what = f"{name} names {len(rows):,} images, such as {first} and {second}"
            raise SscdError(what, "write more of its path")
        return rows.pop() if rows else None


def find_images(truth: PairTruth, names: ImageNames, where: str) -> list[tuple[int, int]]:
    """Return the images of each pair.

    Raises: SscdError: a name is that of no image or of several, or a pair is of one image.
    """
    found, missing = [], {}
    for pair in truth.pairs:
        sides = names.find(pair.left), names.find(pair.right)
        for name, side in zip((pair.left, pair.right), sides, strict=True):
            if side is None:
                missing[name] = pair.line
        left, right = sides
        if left is not None and left == right:
            what = f"line {pair.line} pairs {pair.left} with itself"
            raise SscdError(what, "name two different images")
        found.append((left or 0, right or 0))
    if missing:
        name, line = next(iter(missing.items()))
        others = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise SscdError(
            f"{where} holds no image {name} (line {line}){others}",
            "write ids as sscd embed stored them, or paths",
        )
    return found
