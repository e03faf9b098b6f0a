"""`sscd dedup`: clusters of copies, what stays of each, and what may go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sscd_cli import embed
from sscd_cli.errors import UsageError
from sscd_cli.options import DedupOptions, EmbedOptions
from sscd_cli.pair import check_threshold

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sscd_cli.descriptors.read import DescriptorSet
    from sscd_cli.matching.clusters import Clusters
    from sscd_cli.matching.recall import Recall
    from sscd_cli.reports.clusters import Cluster


@dataclass(frozen=True, eq=False)
class DedupResult:
    """What was found; iterating makes the clusters one by one.

    images: with a descriptor, of those asked for. stale: of them, left out because the file has
    vanished or changed since it was embedded. unchecked: in clusters, but on no disk of this
    machine. removable_bytes: what removing would free. recall: of the pairs, on a sample, where
    an approximate join found them.
    """

    model: str
    threshold: float
    images: int
    unreadable: int
    stale: int
    unchecked: int
    clusters: int
    removable: int
    removable_bytes: int
    recall: Recall | None
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
    from sscd_cli.descriptors.read import read_descriptors

    stored = read_descriptors(options.descriptors)
    if embedded:
        stored = stored.select(embedded.saw(stored.sources, stored.ids))
    images = len(stored)
    threshold = stored.provenance.threshold if options.threshold is None else options.threshold
    found = _deduplicate(stored, threshold, options)
    stale, unchecked = _check_files(stored, found)
    if stale.any():
        stored = stored.select(~stale)
        found = _deduplicate(stored, threshold, options)
    failed = stored.unreadable
    removable = found.removable
    return DedupResult(
        model=stored.provenance.model,
        threshold=threshold,
        images=images,
        unreadable=int(embedded.saw(failed.sources, failed.ids).sum()) if embedded else len(failed),
        stale=int(stale.sum()),
        unchecked=unchecked,
        clusters=_count(found),
        removable=int(removable.sum()),
        removable_bytes=int(stored.columns["file_bytes"][removable].sum()),
        recall=found.recall,
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


def _check_files(stored: DescriptorSet, found: Clusters) -> tuple[NDArray[np.bool_], int]:
    """Compare the files of all clusters with what was embedded.

    Returns: bool (N,), true for a file that has vanished or changed; and how many could not be
    looked for, because their whole source is not on this machine.
    """
    import numpy as np

    from sscd_cli.images.read import FileStatus, stat_image, stored_ref

    stale = np.zeros(len(stored), bool)
    here: dict[str, bool] = {"": True}
    unchecked = 0
    for row in np.flatnonzero(found.component >= 0).tolist():
        source = stored.sources[row]
        if source not in here:
            here[source] = Path(source).exists()
        if not here[source]:
            unchecked += 1
            continue
        known = FileStatus(
            int(stored.columns["file_bytes"][row]), int(stored.columns["mtime_ns"][row])
        )
        try:
            stale[row] = stat_image(stored_ref(source, stored.ids[row])) != known
        except Exception:
            stale[row] = True
    return stale, unchecked


def _count(found: Clusters) -> int:
    import numpy as np

    return len(np.unique(found.component[found.component >= 0]))
