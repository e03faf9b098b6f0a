"""`sscd search`: the nearest images of a dataset to some query images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sscd_cli.commands.index import load_current
from sscd_cli.descriptors.provenance import Provenance, difference
from sscd_cli.descriptors.read import DescriptorSet, read_comparable
from sscd_cli.embedding.provenance import model_of, provenance_of
from sscd_cli.errors import SscdError, StoreError
from sscd_cli.matching.index import Index
from sscd_cli.models.load import Model
from sscd_cli.options.index import SearchOptions
from sscd_cli.reports.hits import Hit, describe
from sscd_cli.scoring.scale import Scale

_BATCH = 32  # queries that are decoded at once


@dataclass(frozen=True)
class SearchResult:
    """All hits in the order of the queries; `indexed` where a saved index answered.

    scale: on which similarities are, see `scoring.scale`. unreadable: why some queries could
    not be read.
    """

    hits: list[Hit]
    scale: str
    indexed: bool
    images: int
    unreadable: tuple[SscdError, ...] = ()


def run(options: SearchOptions) -> SearchResult:
    """Search every query image among the dataset's images, with the model that made these.

    The index that `sscd index` saved answers if it is current, an exact search otherwise.

    Raises: StoreError: no descriptors, or those of another model. ModelError: as `model_of`.
        SscdError: no query can be read.
    """
    scale = Scale.load(options.post, options.score_norm)
    stored = read_comparable(options.descriptors, columns=(), post=scale.post)
    model = model_of(stored, options.model, options.device, options.precision)
    exif = stored.provenance.exif
    _refuse_others(stored, scale.provenance(provenance_of(model, exif=exif, dtype="float32")))
    images, rows, unreadable = _embedded(options.images, model, exif=exif)
    queries = scale.apply(rows)
    index = load_current(stored)
    similarity, row = (index or _exact(stored)).search(queries, options.k)
    bias = scale.bias(queries)
    if bias is not None:
        similarity -= bias[:, None]
    hits = list(describe(images, stored, similarity, row, str(scale)))
    indexed = index is not None
    return SearchResult(hits, str(scale), indexed, images=len(stored), unreadable=unreadable)


def _embedded(
    paths: Sequence[str], model: Model, *, exif: bool
) -> tuple[list[str], NDArray[np.float32], tuple[SscdError, ...]]:
    """Return the images that can be read, their descriptors, and why the others cannot.

    Raises: SscdError: none can be.
    """
    named: list[str] = []
    rows: list[NDArray[np.float32]] = []
    failed: list[SscdError] = []
    some = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
    while some:
        batch = some.pop(0)
        try:
            rows.append(model.embed(batch, exif=exif, strict=True))
            named += batch
        except SscdError as error:
            if len(batch) == 1:
                failed.append(error)
            else:
                some = [[path] for path in batch] + some
    if not rows:
        raise failed[0]
    return named, np.concatenate(rows), tuple(failed)


def _exact(stored: DescriptorSet) -> Index:
    return Index.build(stored.descriptors, provenance={}, shards=(), factory="Flat")


def _refuse_others(stored: DescriptorSet, queries: Provenance) -> None:
    contrast = difference(stored.provenance, queries)
    if contrast:
        raise StoreError(
            f"{stored.folder} cannot be searched so: {contrast}",
            "leave out --precision, or embed again into another folder",
        )
