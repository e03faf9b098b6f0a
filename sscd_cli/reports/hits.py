"""What a report says of the nearest images of each query, and how each format writes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import groupby
from operator import attrgetter
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from sscd_cli.choices import HitFormat
from sscd_cli.descriptors.read import DescriptorSet
from sscd_cli.errors import printable
from sscd_cli.reports.formats import csv_lines
from sscd_cli.reports.reported import record_of
from sscd_cli.storage.places import shown_path, working_folder


@dataclass(frozen=True, slots=True)
class Hit:
    """One of the nearest images of a query: its rank from 1, and their similarity.

    path: relative to the working directory if it lies below. id, source: its key in the
    descriptor dataset. scale: of the similarity, see `scoring.scale`.
    """

    query: str
    rank: int
    similarity: float
    path: str
    id: str
    source: str
    scale: str


COLUMNS = tuple(field.name for field in fields(Hit))


def describe(
    queries: Iterable[str],
    stored: DescriptorSet,
    similarity_QK: NDArray[np.float32],
    row_QK: NDArray[np.int64],
    scale: str,
) -> Iterator[Hit]:
    """Yield the hits of each query, the nearest first; a row of -1 is none."""
    here = working_folder()
    for query, scores, rows in zip(queries, similarity_QK, row_QK.tolist(), strict=True):
        for rank, (score, row) in enumerate(zip(scores, rows, strict=True), 1):
            if row >= 0:
                yield Hit(
                    query=query,
                    rank=rank,
                    similarity=round(float(score), 6),
                    path=shown_path(stored.path(row), here),
                    id=stored.ids[row],
                    source=stored.sources[row],
                    scale=scale,
                )


def write_hits(hits: Iterable[Hit], format: HitFormat, stream: BinaryIO) -> None:
    """Write hits to a binary stream; csv and jsonl have one record a hit, text is for people."""
    for line in _lines(hits, format):
        stream.write(line.encode("utf-8", "surrogateescape"))


def _lines(hits: Iterable[Hit], format: HitFormat) -> Iterator[str]:
    if format == "csv":
        yield from csv_lines(COLUMNS, map(record_of, hits))
    elif format == "jsonl":
        yield from (json.dumps(record_of(hit)) + "\n" for hit in hits)
    else:
        for query, group in groupby(hits, key=attrgetter("query")):
            yield f"{printable(query)}\n"
            yield from (f"  {hit.similarity:.4f}  {printable(hit.path)}\n" for hit in group)
