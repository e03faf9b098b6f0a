"""`sscd search`: the nearest images of a dataset to some query images."""

from __future__ import annotations

from dataclasses import dataclass

from sscd_cli.commands.index import load_current
from sscd_cli.descriptors.read import DescriptorSet, read_comparable
from sscd_cli.descriptors.schema import Provenance, difference
from sscd_cli.embedding.job import model_of, provenance_of
from sscd_cli.errors import StoreError
from sscd_cli.matching.index import Index
from sscd_cli.options.search import SearchOptions
from sscd_cli.reports.hits import Hit, describe
from sscd_cli.scoring.scale import Scale


@dataclass(frozen=True)
class SearchResult:
    """All hits in the order of the queries; `indexed` where a saved index answered.

    scale: on which similarities are, see `scoring.scale`.
    """

    hits: list[Hit]
    scale: str
    indexed: bool
    images: int


def run(options: SearchOptions) -> SearchResult:
    """Search every query image among the dataset's images, with the model that made these.

    The index that `sscd index` saved answers if it is current, an exact search otherwise.

    Raises: StoreError: no descriptors, or those of another model. ModelError: as `model_of`.
        SscdError: a query cannot be read.
    """

    scale = Scale.load(options.post, options.score_norm)
    stored = read_comparable(options.descriptors, columns=(), post=scale.post)
    model = model_of(stored, options.model, options.device, options.precision)
    exif = bool(stored.provenance.preprocessing.get("exif", True))
    _refuse_others(stored, scale.provenance(provenance_of(model, exif=exif, dtype="float32")))
    queries = scale.apply(model.embed(options.images, exif=exif, strict=True))
    index = load_current(stored)
    similarity, row = (index or _exact(stored)).search(queries, options.k)
    bias = scale.bias(queries)
    if bias is not None:
        similarity -= bias[:, None]
    hits = describe(options.images, stored, similarity, row, str(scale))
    return SearchResult(list(hits), str(scale), indexed=index is not None, images=len(stored))


def _exact(stored: DescriptorSet) -> Index:

    return Index.build(stored.descriptors, provenance={}, shards=(), factory="Flat")


def _refuse_others(stored: DescriptorSet, queries: Provenance) -> None:

    contrast = difference(stored.provenance, queries)
    if contrast:
        raise StoreError(
            f"{stored.folder} cannot be searched so: {contrast}",
            "leave out --precision, or embed again into another folder",
        )
