"""`sscd index` and `sscd search`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Literal

from sscd_cli.cli import terminal
from sscd_cli.cli.models import fetch_if_missing
from sscd_cli.errors import counted, printable
from sscd_cli.options import IndexOptions, SearchOptions
from sscd_cli.words import Help

if TYPE_CHECKING:
    from sscd_cli.search import SearchResult


def index(options: IndexOptions) -> None:
    """Build the FAISS index of a descriptor dataset, or update it.

    Example: sscd index
    """
    from sscd_cli import index as verb

    result = verb.run(options)
    done = "built" if result.rebuilt else f"{result.added:,} added"
    what = f"{counted(result.rows, 'images')}{terminal.scale_note(result.scale)}"
    quality = "" if result.recall is None else f", recall@10 {result.recall:.3f} when built"
    terminal.note(f"{result.path}: {what}, {result.factory}{quality}, {done}")


def search(
    options: SearchOptions,
    format: Annotated[Literal["text", "jsonl", "csv"], Help("text, jsonl or csv.", "-f")] = "text",
) -> None:
    """Show the images of a dataset that are nearest to some images.

    Example: sscd search query.jpg -k 5
    """
    from sscd_cli import search as verb

    if options.model:
        fetch_if_missing(options.model)
    result = verb.run(options)
    with terminal.report_stream(None) as stream:
        for line in _lines(result, format):
            stream.write(line.encode("utf-8", "surrogateescape"))
    how = "its index" if result.indexed else "an exact search"
    scale = terminal.scale_note(result.scale)
    queries = counted(len(options.images), "queries")
    stored = counted(result.images, "images")
    terminal.note(f"{queries} in {stored} by {how}{scale}")


def _lines(result: SearchResult, format: str) -> Iterator[str]:
    from sscd_cli.reports.clusters import shown_path
    from sscd_cli.reports.formats import csv_lines

    here = os.path.join(os.getcwd(), "")  # noqa: PTH109, PTH118
    hits = [replace(hit, path=shown_path(hit.path, here)) for hit in result.hits]
    if format == "csv":
        yield from csv_lines(("query", "rank", "similarity", "path", "scale"), map(asdict, hits))
        return
    query = None
    for hit in hits:
        if format == "jsonl":
            yield json.dumps(asdict(hit)) + "\n"
            continue
        if hit.rank == 1 and hit.query != query:
            query = hit.query
            yield f"{printable(query)}\n"
        yield f"  {hit.similarity:.4f}  {printable(hit.path)}\n"
