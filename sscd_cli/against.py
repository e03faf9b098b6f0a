"""`sscd dedup --against`: which images of one dataset are copies of images in another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sscd_cli import embed
from sscd_cli.errors import StoreError
from sscd_cli.options import DedupOptions, EmbedOptions, check_threshold
from sscd_cli.verify import check_files

if TYPE_CHECKING:
    from sscd_cli.descriptors.read import DescriptorSet
    from sscd_cli.matching.join import Pairs
    from sscd_cli.reports.matches import Match


@dataclass(frozen=True, eq=False)
class AgainstResult:
    """Every pair of an image here and one there; iterating makes the matches one by one.

    leaked: how many of the `images` here have a copy there. stale: here and there, left out
    because the file has vanished or changed since it was embedded. embedded: what embedding the
    sources did, if there were any.
    """

    model: str
    threshold: float
    images: int
    others: int
    unreadable: int
    leaked: int
    stale: int
    embedded: embed.EmbedResult | None
    stored: DescriptorSet
    other: DescriptorSet
    pairs: Pairs

    def __iter__(self) -> Iterator[Match]:
        from sscd_cli.reports.matches import describe

        return describe(self.stored, self.other, self.pairs)


def run(
    options: DedupOptions,
    other: Path,
    embedding: EmbedOptions | None = None,
    progress: embed.Progress = lambda result: None,
) -> AgainstResult:
    """Compare a dataset with `other`; first embed `embedding`'s sources into it, if given.

    Raises: StoreError: a dataset is missing, or the two cannot be compared. UsageError: an
        impossible threshold; and all that `embed.run` raises.
    """
    check_threshold(options.threshold)
    from sscd_cli.descriptors.read import read_comparable
    from sscd_cli.descriptors.schema import difference
    from sscd_cli.descriptors.threshold import resolve
    from sscd_cli.matching.join import cross_pairs

    theirs = read_comparable(other)
    embedded = embed.run(embedding, progress) if embedding else None
    ours = read_comparable(options.descriptors)
    contrast = difference(ours.provenance, theirs.provenance)
    if contrast:
        raise StoreError(
            f"{options.descriptors} and {other} cannot be compared: {contrast}",
            "embed both with the same --model",
        )
    if embedded:
        ours = ours.select(embedded.saw(ours.sources, ours.ids))
    threshold = resolve(options.threshold, ours.provenance)
    pairs = cross_pairs(ours.descriptors, theirs.descriptors, threshold, options.method)
    pairs, stale = _among_present_files(ours, theirs, pairs)
    failed = ours.unreadable
    return AgainstResult(
        model=ours.provenance.model,
        threshold=threshold,
        images=len(ours),
        others=len(theirs),
        unreadable=int(embedded.saw(failed.sources, failed.ids).sum()) if embedded else len(failed),
        leaked=len(set(pairs.left.tolist())),
        stale=stale,
        embedded=embedded,
        stored=ours,
        other=theirs,
        pairs=pairs,
    )


def _among_present_files(
    ours: DescriptorSet, theirs: DescriptorSet, pairs: Pairs
) -> tuple[Pairs, int]:
    """Leave out, and count, the images of pairs whose files have vanished or changed."""
    import numpy as np

    left = check_files(ours, np.unique(pairs.left).tolist()).stale
    right = check_files(theirs, np.unique(pairs.right).tolist()).stale
    fine = ~(left[pairs.left] | right[pairs.right])
    present = replace(
        pairs, left=pairs.left[fine], right=pairs.right[fine], similarity=pairs.similarity[fine]
    )
    return present, int(left.sum() + right.sum())
