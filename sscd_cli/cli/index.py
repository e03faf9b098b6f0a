"""`sscd index` and `sscd search`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from sscd_cli.cli import arguments as words
from sscd_cli.cli import terminal
from sscd_cli.cli.models import fetch_if_missing
from sscd_cli.errors import printable
from sscd_cli.options import IndexOptions, SearchOptions, check_word

if TYPE_CHECKING:
    from sscd_cli.search import SearchResult

_index = IndexOptions()
_search = SearchOptions(images=())


def index(
    descriptors: words.Descriptors = _index.descriptors,
    post: words.Post = _index.post,
    factory: Annotated[
        str, words.option("auto by size, or a FAISS factory string.", "--factory")
    ] = _index.factory,
    rebuild: Annotated[bool, words.option("Build anew.", "--rebuild")] = _index.rebuild,
    quiet: words.Quiet = False,
    debug: words.Debug = False,
) -> None:
    """Build the FAISS index of a descriptor dataset, or update it."""
    from sscd_cli import index as verb

    result = verb.run(
        IndexOptions(descriptors=descriptors, post=post, factory=factory, rebuild=rebuild)
    )
    done = "built" if result.rebuilt else f"{result.added:,} added"
    what = f"{terminal.counted(result.rows, 'images')}{terminal.scale_note(result.scale)}"
    quality = "" if result.recall is None else f", recall@10 {result.recall:.3f} when built"
    terminal.note(f"{result.path}: {what}, {result.factory}{quality}, {done}")


def search(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE", help="Image files.", show_default=False)
    ],
    descriptors: words.Descriptors = _search.descriptors,
    model: words.Model = _search.model,
    post: words.Post = _search.post,
    score_norm: words.ScoreNorm = _search.score_norm,
    k: Annotated[int, words.option("Nearest images to show.", "-k", "--k")] = _search.k,
    format: Annotated[str, words.option("text, jsonl or csv.", "--format", "-f")] = "text",
    device: words.Device = _search.device,
    precision: words.Precision = _search.precision,
    quiet: words.Quiet = False,
    debug: words.Debug = False,
) -> None:
    """Show the images of a dataset that are nearest to some images."""
    check_word("format", format, ("text", "jsonl", "csv"))
    from sscd_cli import search as verb

    fetch_if_missing(model)

    result = verb.run(
        SearchOptions(
            images=tuple(images),
            descriptors=descriptors,
            model=model,
            post=post,
            score_norm=score_norm,
            k=k,
            device=device,
            precision=precision,
        )
    )
    with terminal.report_stream(None) as stream:
        for line in _lines(result, format):
            stream.write(line.encode("utf-8", "surrogateescape"))
    how = "its index" if result.indexed else "an exact search"
    scale = terminal.scale_note(result.scale)
    queries = terminal.counted(len(images), "queries")
    stored = terminal.counted(result.images, "images")
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
