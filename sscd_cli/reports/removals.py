"""What a report of `sscd dedup` says may go, read back from the formats that programs read.

Nothing is taken from a report that is not whole: it begins with its header, holds as much as that
says, and names what stays for each image that goes.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from sscd_cli.errors import SscdError, reason_of
from sscd_cli.reports.clusters import BANDS, LOOK_AT
from sscd_cli.reports.header import COMMENT, METADATA_KEY

Key = tuple[str, str]  # source, id
AGAIN = "run sscd dedup again with -f jsonl -o FILE"
_TEXTS = ("cluster", "path", "keeper", "content_hash", "id", "source")
_NUMBERS = ("file_bytes", "mtime_ns")
_FIELDS = (*_TEXTS, *_NUMBERS, "keep")
_MORE = {"similarity": float, "reason": str, "band": str}
_OTHER = ("path", "file_bytes", "mtime_ns", "content_hash", "id", "source")
_OF_MATCHES = (*_OTHER, "other", *(f"other_{name}" for name in _OTHER[1:]), "band", "checked")


@dataclass(frozen=True, slots=True)
class Reported:
    """An image as a report knows it; content_hash: BLAKE2b-128 of its bytes, hexadecimal."""

    source: str
    id: str
    path: str
    file_bytes: int
    mtime_ns: int
    content_hash: str

    @property
    def key(self) -> Key:
        """Return what names it in a descriptor dataset."""
        return self.source, self.id


@dataclass(frozen=True, slots=True)
class Removal:
    """An image that may go, and the one that stays for it; similarity: of the two."""

    image: Reported
    keeper: Reported
    cluster: str
    similarity: float
    reason: str = ""
    band: str = ""


@dataclass(frozen=True)
class Removals:
    """What a whole report says. header: its first record. keepers: all images that stay.

    doubtful: images that are only to be looked at beside another, and stay; of matches between
    datasets they are ours, and the keepers those of the other dataset, which nothing touches.
    """

    header: Mapping[str, Any]
    removals: dict[Key, Removal] = field(default_factory=dict)
    keepers: dict[Key, Reported] = field(default_factory=dict)
    doubtful: dict[Key, Removal] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.removals)

    def tables(self, path: str) -> set[str]:
        """Return how the report names a table of this path: with the columns chosen in it."""
        named = (source for source, _ in chain(self.removals, self.keepers))
        return {source for source in named if source.startswith(f"{path}#")}


def load_removals(place: Path) -> Removals:
    """Read the report at a place, or the one on stdin where that is "-".

    Raises: SscdError: as `report_bytes` and `read_removals`.
    """
    return read_removals(report_bytes(place), report_name(place))


def report_name(place: Path) -> str:
    """Return what to call the report at a place in a message."""
    return "the report on stdin" if str(place) == "-" else str(place)


def report_bytes(place: Path) -> bytes:
    """Return the report at a place, or on stdin. Raises: SscdError: it cannot be read."""
    try:
        if str(place) != "-":
            return place.read_bytes()
        if sys.stdin is None:
            raise SscdError("stdin is closed", "pipe a report into the command")
        return sys.stdin.buffer.read()
    except OSError as error:
        what = f"cannot read {place}: {reason_of(error)}"
        raise SscdError(what, "name a report of sscd dedup") from None


def read_removals(data: bytes, name: str, *, matches: bool = False) -> Removals:
    """Read a report of clusters: JSON Lines, CSV or Parquet.

    Args: name: of the file, for errors. matches: one of matches between two datasets will do, too.
    Raises: SscdError: it is no such report, cut, or damaged; or it contradicts itself.
    """
    if not data:
        raise SscdError(f"{name} is empty: no run of sscd dedup ended", AGAIN)
    with refusing(name, "clusters"):
        header, rows = _read(data)
        if matches and header.get("report") == "matches":
            return _removals_of_matches(header, rows)
        if header.get("report") != "clusters":
            raise ValueError(f"its records are {header.get('report')}")
        return _removals(header, rows)


@contextmanager
def refusing(name: str, kind: str) -> Iterator[None]:
    """Say of a report that is damaged what is wrong with it. kind: of what it should be one.

    Raises: SscdError: for what reading a record raises.
    """
    try:
        yield
    except EOFError as error:
        raise SscdError(f"{name} is cut: {error}", AGAIN) from None
    except RecursionError:
        raise SscdError(f"{name} is no report of sscd dedup: nested too deeply", AGAIN) from None
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise SscdError(f"{name} is no whole report of {kind}: {reason}", AGAIN) from None


def _read(data: bytes) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
    """Return the header of a report and its images, each with its `_FIELDS`."""
    if data.startswith(b"PAR1"):
        return _read_parquet(data)
    if data.startswith(b"{"):
        return _read_json_lines(data)
    if data.startswith(COMMENT.encode()):
        return _read_csv(data)
    raise ValueError("it has no first record (text, html and paths have none)")


def _read_parquet(data: bytes) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
    from sscd_cli.descriptors.tables import read_table

    columns, metadata = read_table(data, (*_FIELDS, *_MORE, *_OF_MATCHES))
    if METADATA_KEY not in metadata:
        raise ValueError("its schema does not say what was compared")
    rows = zip(*columns.values(), strict=True)
    return _json(metadata[METADATA_KEY]), [dict(zip(columns, row, strict=True)) for row in rows]


def _read_json_lines(data: bytes) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
    if not data.endswith(b"\n"):
        raise EOFError("its last line has no end")
    first, *records = (_json(line) for line in data[:-1].split(b"\n"))
    if "tool" not in first:
        raise ValueError("its first record does not say what was compared")
    if not records or records.pop().get("end") is not True:
        raise EOFError("its last record is missing")
    rows = [
        {**member, "cluster": record["cluster"]}
        for record in records
        for member in record.get("members", [])
    ]
    return first, records if first.get("report") == "matches" else rows


def _read_csv(data: bytes) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
    if not data.endswith(b"\n"):
        raise EOFError("its last line has no end")
    first, _, rest = data.partition(b"\n")
    text = io.StringIO(rest.decode("utf-8", "surrogateescape"), newline="")
    rows = [_typed(row) for row in csv.DictReader(text, strict=True)]
    return _json(first.removeprefix(COMMENT.encode())), rows


def _typed(row: dict[str, str]) -> dict[str, Any]:
    named = (*_NUMBERS, *(f"other_{name}" for name in _NUMBERS))
    numbers = {name: int(row[name]) for name in named if name in row}
    words = {"true": True, "false": False}
    said = {name: words.get(row.get(name, "")) for name in ("keep", "checked")}
    return {**row, **numbers, **said, "similarity": float(row.get("similarity") or "nan")}


def _json(line: bytes) -> dict[str, Any]:
    found = json.loads(line.decode("utf-8", "surrogateescape"), parse_constant=_refuse_constant)
    if not isinstance(found, dict):
        raise ValueError("a line is no JSON object")
    return found


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _removals(header: Mapping[str, Any], rows: list[dict[str, Any]]) -> Removals:
    """Put together what goes and what stays for it.

    Raises: EOFError: images are missing. ValueError, KeyError: a record is wrong.
    """
    images = [_image(row) for row in rows]
    keepers = {i.path: i for i, row in zip(images, rows, strict=True) if row["keep"]}
    found = Removals(header, keepers={image.key: image for image in keepers.values()})
    for image, row in zip(images, rows, strict=True):
        if row["keep"]:
            if row["keeper"] != image.path:
                found.doubtful[image.key] = _removal(image, row, keepers)
            continue
        if image.key in found.keepers or image.path in keepers:
            raise ValueError(f"{image.path} stays in it and goes")
        found.removals[image.key] = _removal(image, row, keepers)
    _check_counts(header, len(rows), len(found))
    return found


def _removals_of_matches(header: Mapping[str, Any], rows: list[dict[str, Any]]) -> Removals:
    """Put together which of our images goes for which of the other dataset, all of which stay.

    An image goes for the most similar one that was found on this machine and is a copy.
    Raises: as `_removals`.
    """
    found = Removals(header)
    for row in rows:
        ours = {name: row[name] for name in _OTHER}
        theirs = {name: row["other" if name == "path" else f"other_{name}"] for name in _OTHER}
        image, other = (_image({**ends, **_ALONE}) for ends in (ours, theirs))
        if type(row["checked"]) is not bool or row["band"] not in BANDS:
            raise ValueError(f"checked is {row['checked']!r}, band is {row['band']!r}")
        found.keepers[other.key] = other
        removal = Removal(image, other, "", float(row["similarity"]), band=row["band"])
        if row["checked"] and row["band"] != LOOK_AT:
            found.removals.setdefault(image.key, removal)
        else:
            found.doubtful.setdefault(image.key, removal)
    if len(rows) != header["matches"]:
        raise EOFError(f"it holds {len(rows)} matches of {header['matches']}")
    return found


_ALONE = {"cluster": "", "keeper": "", "keep": False}  # what no match has, of an image's fields


def _removal(image: Reported, row: Mapping[str, Any], keepers: Mapping[str, Reported]) -> Removal:
    if row["keeper"] not in keepers:
        raise ValueError(f"{image.path} goes for {row['keeper']}, which does not stay in it")
    more = {name: kind(row[name]) for name, kind in _MORE.items() if row.get(name) is not None}
    return Removal(image, keepers[row["keeper"]], row["cluster"], **more)


def _image(row: Mapping[str, Any]) -> Reported:
    for name in _FIELDS:
        kind = str if name in _TEXTS else int if name in _NUMBERS else bool
        if type(row[name]) is not kind:
            raise ValueError(f"{name} is {row[name]!r}")
    if len(row["content_hash"]) != 32:
        raise ValueError(f"content_hash is {row['content_hash']!r}")
    names = (row["source"], row["id"], row["path"])
    return Reported(*names, row["file_bytes"], row["mtime_ns"], row["content_hash"])


def _check_counts(header: Mapping[str, Any], members: int, removable: int) -> None:
    told = header["members"], header["removable"]
    if (members, removable) != told:
        raise EOFError(
            f"it holds {members} images of {told[0]}, {removable} removable of {told[1]}"
        )
