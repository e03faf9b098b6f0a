"""`sscd dedup`: clusters of copies, what stays of each, and what may go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sscd_cli import embed
from sscd_cli.errors import UsageError
from sscd_cli.options import DedupOptions, EmbedOptions, check_threshold
from sscd_cli.verify import check_files

if TYPE_CHECKING:
    from sscd_cli.descriptors.read import DescriptorSet
    from sscd_cli.matching.clusters import Clusters
    from sscd_cli.matching.recall import Recall
    from sscd_cli.reports.clusters import Cluster


@dataclass(frozen=True, eq=False)
class DedupResult:
    """What was found; iterating makes the clusters one by one.

    images: with a descriptor, of those asked for. stale: of them, left out because the file has
    vanished or changed since it was embedded. aliases: left out because another image is the
    very same file. unchecked: in clusters, but on no disk of this machine. removable_bytes: what
    removing would free. recall: of the pairs, on a sample, where an approximate join found them.
    embedded: what embedding the sources did, if there were any.
    """

    model: str
    threshold: float
    images: int
    unreadable: int
    stale: int
    aliases: int
    unchecked: int
    clusters: int
    removable: int
    removable_bytes: int
    recall: Recall | None
    embedded: embed.EmbedResult | None
    stored: DescriptorSet
    found: Clusters

    def __iter__(self) -> Iterator[Cluster]:
        from sscd_cli.reports.clusters import describe

        return describe(self.stored, self.found)


def run(
    options: DedupOptions,
    embedding: EmbedOptions | None = None,
    progress: embed.Progress = lambda result: None,
) -> DedupResult:
    """Find the clusters of a dataset; first embed `embedding`'s sources into it, if given.

    Then only the images of those sources count. An image counts only while its file is where
    and as it was when it was embedded, so that no removal rests on a file that has gone.

    Raises: StoreError: no descriptors to read. UsageError: an impossible threshold or policy;
        and all that `embed.run` raises.
    """
    check_threshold(options.threshold)
    check_keep(options.keep)
    embedded = embed.run(embedding, progress) if embedding else None
    from sscd_cli.descriptors.read import read_comparable
    from sscd_cli.descriptors.threshold import resolve

    stored = read_comparable(options.descriptors)
    if embedded:
        stored = stored.select(embedded.saw(stored.sources, stored.ids))
    images = len(stored)
    threshold = resolve(options.threshold, stored.provenance)
    stored, found, counts = _among_present_files(stored, threshold, options)
    failed = stored.unreadable
    removable = found.removable
    return DedupResult(
        model=stored.provenance.model,
        threshold=threshold,
        images=images,
        unreadable=int(embedded.saw(failed.sources, failed.ids).sum()) if embedded else len(failed),
        **counts,
        clusters=_count(found),
        removable=int(removable.sum()),
        removable_bytes=int(stored.columns["file_bytes"][removable].sum()),
        recall=found.recall,
        embedded=embedded,
        stored=stored,
        found=found,
    )


def check_keep(words: tuple[str, ...]) -> None:
    """Raise UsageError for a word that is not in the keep policy, before any work is done."""
    from sscd_cli.matching.keepers import KEEP_WORDS

    for word in words:
        if word not in KEEP_WORDS:
            raise UsageError(f"unknown word {word!r} in --keep", f"use {', '.join(KEEP_WORDS)}")


def _deduplicate(stored: DescriptorSet, threshold: float, options: DedupOptions) -> Clusters:
    import numpy as np

    from sscd_cli.matching.clusters import deduplicate
    from sscd_cli.matching.keepers import keep_order

    names = {
        "id": np.array(list(stored.ids), dtype=object),
        "source": np.array(list(stored.sources), dtype=object),
    }
    order = keep_order(options.keep, {**stored.columns, **names})
    return deduplicate(stored.descriptors, threshold, order, options.linkage, options.method)


def _among_present_files(
    stored: DescriptorSet, threshold: float, options: DedupOptions
) -> tuple[DescriptorSet, Clusters, dict[str, int]]:
    """Cluster the images whose files are still there, each file once.

    An image on no disk of this machine may be in a cluster of such images only: nothing that
    could be removed here has a keeper that cannot be looked for.
    """
    import numpy as np

    counts = {"stale": 0, "aliases": 0, "unchecked": 0}
    while True:
        found = _deduplicate(stored, threshold, options)
        clustered = found.component >= 0
        files = check_files(stored, np.flatnonzero(clustered).tolist())
        here = np.unique(found.component[clustered & ~files.elsewhere])
        stale = files.stale | (files.elsewhere & np.isin(found.component, here))
        counts["stale"] += int(stale.sum())
        counts["aliases"] += int((files.aliases & ~stale).sum())
        counts["unchecked"] = int((files.elsewhere & ~stale).sum())
        left_out = stale | files.aliases
        if not left_out.any():
            return stored, found, counts
        stored = stored.select(~left_out)


def _count(found: Clusters) -> int:
    import numpy as np

    return len(np.unique(found.component[found.component >= 0]))
