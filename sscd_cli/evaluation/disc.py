"""The DISC2021 protocol: of which reference image, if any, is each query an edited copy?

Source: the SSCD reference, `sscd/datasets/disc.py` and `sscd/datasets/isc/`.
Legend of shapes: P candidates, M matches of the ground truth.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.errors import SscdError, reason_of
from sscd_cli.evaluation import metrics

Indices = NDArray[np.int64]
_HEADERS = {("query_id", "reference_id"), ("query_image_id", "db_image_id")}


@dataclass(frozen=True)
class DiscFigures:
    """What a benchmark run is judged by.

    threshold: the score from which precision is 90 %, None where it never is.
    """

    micro_ap: float
    accuracy_at_1: float
    recall_at_p90: float
    threshold: float | None


@dataclass(frozen=True, eq=False)
class Truth:
    """The matches of a ground truth: `positives` in all.

    query, reference: int64 (M,), the rows of those of which both images are there.
    """

    query: Indices
    reference: Indices
    positives: int


def read_truth(path: Path) -> list[tuple[str, str]]:
    """Read a ground truth: lines `query,reference`, with or without the header.

    A query without a reference is a copy of none and left out; so is a line that repeats another.
    Raises: SscdError: the file cannot be read, a line is something else, or there is no match.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, names) for names in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        what = f"cannot read the ground truth {path}: {reason_of(error)}"
        raise SscdError(what, "name a CSV file with --truth") from error
    matches: dict[tuple[str, str], None] = {}
    for number, names in lines:
        if not names:
            continue
        if len(names) != 2 or not names[0].strip():
            what = f"line {number} of {path} is no pair of a query and a reference"
            raise SscdError(what, "write QUERY,REFERENCE, or QUERY, where there is none")
        query, reference = (name.strip() for name in names)
        if reference and (query, reference) not in _HEADERS:
            matches[query, reference] = None
    if not matches:
        raise SscdError(f"{path} names no match", "write a line QUERY,REFERENCE for each")
    return list(matches)


def rows_by_name(ids: Iterable[str], where: str) -> dict[str, int]:
    """Number the images of a set by what the ground truth calls them: file names without suffix.

    Raises: SscdError: two images have one name.
    """
    rows: dict[str, int] = {}
    for row, id in enumerate(ids):
        name = PurePosixPath(id).stem
        if rows.setdefault(name, row) != row:
            raise SscdError(f"{where} holds two images named {name}", "leave one of them out")
    return rows


def find_truth(
    matches: Iterable[tuple[str, str]], queries: Mapping[str, int], references: Mapping[str, int]
) -> Truth:
    """Look the matches up. Raises: SscdError: not one of them is between images that are there."""
    matches = list(matches)
    there = [(queries[q], references[r]) for q, r in matches if q in queries and r in references]
    if not there:
        query, reference = matches[0]
        raise SscdError(
            f"the ground truth names none of the images, such as {query} and {reference}",
            "give the folders and the ground truth of one benchmark",
        )
    rows_M2 = np.array(there, np.int64)
    return Truth(rows_M2[:, 0], rows_M2[:, 1], len(matches))


def judge(
    query_P: Indices, reference_P: Indices, score_P: NDArray[Any], truth: Truth
) -> DiscFigures:
    """Judge a list of candidates, each pair of rows at most once.

    Accuracy is the share of matches that outscore every other candidate of their query.
    """
    width = 1 + max(reference_P.max(initial=0), truth.reference.max())
    is_match = np.isin(query_P * width + reference_P, truth.query * width + truth.reference)
    recall, threshold = metrics.recall_at_precision(score_P, is_match, truth.positives)
    ranks = metrics.match_ranks(query_P, score_P, is_match, truth.positives)
    return DiscFigures(
        micro_ap=metrics.micro_average_precision(score_P, is_match, truth.positives),
        accuracy_at_1=metrics.accuracy_at_k(ranks),
        recall_at_p90=recall,
        threshold=threshold if recall else None,
    )
