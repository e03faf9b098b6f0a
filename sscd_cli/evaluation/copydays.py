"""The Copydays protocol: the original of each crop, recompression and strong edit is searched.

The folder holds `original`, `strong`, `jpegqual/<quality>` and `crops/<percent>`. The first four
characters of a file's name number the photograph. All of the images are queries, the originals
too; the originals and the distractors are searched.

Source: the SSCD reference, `sscd/datasets/copydays.py` and `sscd/copydays_eval.py`, whose blocks
of fixed size are matched by position, with the same result.
Legend of shapes: N images of the folder, O originals, P candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.errors import SscdError
from sscd_cli.evaluation import metrics

Indices = NDArray[np.int64]

_FIX = "name the folder that holds original, strong, crops and jpegqual"
_QUALITIES = (3, 5, 8, 10, 15, 20, 30, 50, 75)
_CROPS = (10, 15, 20, 30, 40, 50, 60, 70, 80)
BLOCKS = (
    *("original", "strong"),
    *(f"jpegqual/{quality}" for quality in _QUALITIES),
    *(f"crops/{percent}" for percent in _CROPS),
)


@dataclass(frozen=True)
class CopydaysFigures:
    """mAP on the strong subset, µAP over all queries, and mAP of each block that is there."""

    strong_map: float
    overall_micro_ap: float
    block_map: dict[str, float]


@dataclass(frozen=True, eq=False)
class Copydays:
    """The images of the folder.

    block: the number in `BLOCKS` of each image, int64 (N,). original: the originals' rows, (O,).
    truth: which of them is each image's, an index into `original`, (N,).
    """

    block: Indices
    original: Indices
    truth: Indices


def lay_out(ids: Sequence[str]) -> Copydays:
    """Find the blocks among the paths of images; what lies elsewhere is refused.

    Raises: SscdError: an image is in no block or has no original, two originals have one number,
        or there are no originals or no strong edits.
    """
    block = np.array([_block(id) for id in ids], np.int64)
    for place in (0, 1):
        if not (block == place).any():
            raise SscdError(f"there are no images in {BLOCKS[place]}", _FIX)
    original = np.flatnonzero(block == 0)
    numbers: dict[str, int] = {}
    for index, row in enumerate(original.tolist()):
        number = _number(ids[row])
        if numbers.setdefault(number, index) != index:
            what = f"two originals begin with {number}"
            raise SscdError(what, "leave one of them out")
    for id in ids:
        if _number(id) not in numbers:
            raise SscdError(f"{id} has no original", "add the original, or leave the image out")
    return Copydays(block, original, np.array([numbers[_number(id)] for id in ids], np.int64))


def judge(
    copydays: Copydays, query_P: Indices, reference_P: Indices, score_P: NDArray[Any]
) -> CopydaysFigures:
    """Judge a list of candidates, sorted by query.

    query_P: rows of the N images. reference_P: below O, an index into the originals; above, a
    distractor. Among candidates of one score the original comes last.
    """
    is_match = reference_P == copydays.truth[query_P]
    ranked = is_match[np.lexsort((is_match, -score_P, query_P))]
    starts = np.searchsorted(query_P, np.arange(1, len(copydays.block)))
    each = np.split(ranked, starts)
    area = np.array([metrics.trapezoid_average_precision(of_query, 1) for of_query in each])
    pooled = is_match[np.lexsort((is_match, -score_P))]
    there = np.unique(copydays.block)
    block_map = {BLOCKS[place]: float(area[copydays.block == place].mean()) for place in there}
    return CopydaysFigures(
        strong_map=block_map["strong"],
        overall_micro_ap=metrics.trapezoid_average_precision(pooled, len(copydays.block)),
        block_map=block_map,
    )


def _block(id: str) -> int:
    """Return the block in which an image lies, by the last folders of its path."""
    folders = PurePosixPath(id).parts[:-1]
    for depth in (1, 2):
        name = "/".join(folders[-depth:])
        if name in BLOCKS:
            return BLOCKS.index(name)
    raise SscdError(f"{id} is in no folder of Copydays", _FIX)


def _number(id: str) -> str:
    return PurePosixPath(id).name[:4]
