"""What a report of `sscd dedup` says may go, read back from the formats that programs read."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from sscd_cli.errors import UsageError
from sscd_cli.storage.servers import is_url

Key = tuple[str, str]  # source, id
FIELDS = ("keep", "source", "id", "file_bytes")


@dataclass
class Removals:
    """The removable images of a report, by key, or by path where the report has paths alone.

    sizes: of each removable image, in bytes, by key. keepers: of the images that must stay.
    """

    sizes: dict[Key, int] = field(default_factory=dict)
    keepers: set[Key] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.sizes) + len(self.paths)

    def names(self, source: str, id: str) -> bool:
        """Say whether the report calls this image removable."""
        return (source, id) in self.sizes or bool(self.paths and _path(source, id) in self.paths)

    def tables(self, path: str) -> set[str]:
        """Return how the report names a table of this path: with the columns chosen in it."""
        start = f"{path}#"
        named = chain((source for source, _ in chain(self.sizes, self.keepers)), self.paths)
        rests = (name.removeprefix(start) for name in named if name.startswith(start))
        return {start + rest.partition("/")[0] for rest in rests}


def read_removals(data: bytes, name: str) -> Removals:
    """Read a report: JSON Lines, CSV, Parquet, or paths separated by line feeds or NULs.

    Args: name: of the file, for errors.
    Raises: UsageError: it is a text report, one of matches, cut, or damaged; or it calls an image
        both removable and a keeper.
    """
    if data.startswith(b"cluster ") and b" images, weakest link " in data.partition(b"\n")[0]:
        raise UsageError(f"{name} is a report for people", "write it with --format jsonl")
    if _is_cut(data):
        raise UsageError(f"{name} is cut: its last line has no end", "write the report again")
    try:
        rows = _rows(data)
        if rows is None:
            return Removals(paths={_path("", path) for path in _paths(data)})
        found = Removals()
        for row in rows:
            _note(found, row)
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else error
        what = f"{name} is no report of clusters: {reason}"
        raise UsageError(
            what, "name a report of sscd dedup in jsonl, csv, parquet or paths"
        ) from None
    both = found.keepers & found.sizes.keys()
    if both:
        what = f"{name} says that {_path(*min(both))} stays and that it goes"
        raise UsageError(what, "name one report of one run")
    return found


def _is_cut(data: bytes) -> bool:
    """Say whether a report of lines ends within one: what is left of a name may be another's."""
    end = b"\0" if b"\0" in data else b"\n"
    return bool(data) and not data.startswith(b"PAR1") and not data.endswith(end)


def _rows(data: bytes) -> Iterable[dict[str, Any]] | None:
    """Return the images of a report, each with its `FIELDS`; None if it has paths alone."""
    if data.startswith(b"PAR1"):
        from sscd_cli.descriptors.tables import read_table

        columns = read_table(data, FIELDS)
        values = zip(*columns.values(), strict=True)
        return (dict(zip(FIELDS, row, strict=True)) for row in values)
    if data.startswith(b"{"):
        lines = data.decode("utf-8", "surrogateescape").splitlines()
        return (member for line in lines for member in json.loads(line)["members"])
    if data.startswith((b"cluster,", b"path,other")):
        text = io.StringIO(data.decode("utf-8", "surrogateescape"), newline="")
        return _csv_rows(csv.DictReader(text, strict=True))
    if data.startswith(b"<!doctype html>"):
        raise ValueError("it is a page for people")
    return None


def _csv_rows(rows: Iterable[dict[str, str]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        if row["keep"] not in {"true", "false"}:
            raise ValueError(f"keep is {row['keep']!r}")
        yield {**row, "keep": row["keep"] == "true"}


def _note(found: Removals, row: dict[str, Any]) -> None:
    key = str(row["source"]), str(row["id"])
    if row["keep"]:
        found.keepers.add(key)
    else:
        found.sizes[key] = int(row["file_bytes"])


def _paths(data: bytes) -> Iterator[str]:
    separator = b"\0" if b"\0" in data else b"\n"
    return (os.fsdecode(path) for path in data.split(separator) if path)


def _path(source: str, id: str) -> str:
    """Return the one way to write where an image lies."""
    path = f"{source.rstrip('/')}/{id}" if source else id
    return path if is_url(path) else os.path.abspath(path)  # noqa: PTH100  # no Path for each of ten million names
