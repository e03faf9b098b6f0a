"""`sscd dedup`: clusters of copies, what stays of each, and what may go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sscd_cli.advice.clustering import Clustering
from sscd_cli.advice.doubts import empty_images, find_doubts
from sscd_cli.advice.originals import Originals, Policy
from sscd_cli.advice.second_look import SecondLooks
from sscd_cli.choices import CANNOT_TELL, CONFIRMED, OTHER_SHOT
from sscd_cli.commands import embed
from sscd_cli.decisions.records import Decisions, decisions_at
from sscd_cli.descriptors.read import DescriptorSet, read_comparable
from sscd_cli.descriptors.tables import as_table
from sscd_cli.embedding.job import EmbedResult
from sscd_cli.errors import SscdError
from sscd_cli.images.status import is_file
from sscd_cli.joining import report as join_report
from sscd_cli.joining import tasks as join
from sscd_cli.joining.job import JoinJob
from sscd_cli.joining.report import Joined
from sscd_cli.machines.hardware import give_memory_back
from sscd_cli.machines.stages import Progress, stage
from sscd_cli.machines.tasks import Task
from sscd_cli.matching.clusters import find_copies
from sscd_cli.matching.copies import Clusters, Copies, Recall
from sscd_cli.matching.decided import without_rejected
from sscd_cli.matching.doubts import (
    Resemblance,
    random_rows,
    resemblance,
)
from sscd_cli.matching.join import JoinPlan
from sscd_cli.options.dedup import DedupOptions
from sscd_cli.options.embed import EmbedOptions
from sscd_cli.reports.clusters import Cluster, describe
from sscd_cli.reports.formats import columns_of, rows_of
from sscd_cli.reports.header import Header
from sscd_cli.scoring.scale import Scale
from sscd_cli.scoring.threshold import (
    calibrated_file,
    calibrated_images,
    look_at,
    refuse_default,
    resolve,
    sure_from,
)
from sscd_cli.text import counted

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class DedupResult:
    """What was found; iterating makes the clusters one by one.

    sure_from: see there. calibrated_images: for how many the threshold was calibrated, if it was.
    scale: of the threshold and of similarities, see `scoring.scale`. in_background: images that
    normalise themselves. alike: how alike random images are. crowded: how many images of clusters
    have so many look-alikes that only their exact copies may go. low_content: how many are compared
    with their exact copies only, for there is next to nothing in them. decisions: what people said.
    decided: pairs left out because both stay by that. images: with a descriptor, of those asked
    for. stale: of them, left out because the file has vanished or changed since it was embedded.
    aliases: left out because another image is the very same file. unchecked: in clusters, but on no
    disk of this machine. removable_bytes: what removing would free, nothing for a file with other
    hard links. recall: of the pairs, on a sample, where an approximate join found them. embedded:
    what embedding the sources did, if there were any. stored, found: the dataset, or its images
    with a copy where tasks found the pairs, and what became of each row of it. originals: which
    images are edited copies, and why. untold: how many stay because nothing tells which is the
    original. looks: what a second look at the pixels said of images that would go.
    """

    model: str
    threshold: float
    sure_from: float
    calibrated_images: int | None
    scale: str
    in_background: int
    images: int
    unreadable: int
    stale: int
    aliases: int
    unchecked: int
    alike: Resemblance
    crowded: int
    low_content: int
    decisions: Decisions
    decided: int
    removable_bytes: int
    recall: Recall | None
    embedded: EmbedResult | None
    stored: DescriptorSet
    found: Clusters
    originals: Originals
    untold: int
    looks: SecondLooks

    @property
    def clusters(self) -> int:
        """How many there are."""
        return self.found.count

    @property
    def removable(self) -> int:
        """How many images another one stands for."""
        return int(self.found.removable.sum())

    @property
    def look_at(self) -> int:
        """How many images stay beside one that they resemble."""
        return int(self.found.look_at.sum())

    @property
    def no_files(self) -> int:
        """Return how many removable images are no files of this machine."""
        names = self.stored.sources, self.stored.ids
        rows = self.found.removable.nonzero()[0].tolist()
        return sum(not is_file(*(column[row] for column in names)) for row in rows)

    def header(self, command: str = "") -> Header:
        """Return what a report of this begins with; `command` is what was typed."""
        counts = {
            "images": self.images,
            "unreadable": self.unreadable,
            "clusters": self.clusters,
            "members": int(self.found.clustered.sum()),
            "removable": self.removable,
            "removable_bytes": self.removable_bytes,
        }
        return Header.of(self.stored, self.threshold, self.scale, counts, command=command)

    def _reason(self, keeper: int, row: int) -> str:
        verdict = self.looks.said.get(row)
        if verdict == OTHER_SHOT and row in self.looks.by_time:
            return "another shot: taken at another time"
        if verdict == OTHER_SHOT:
            return "another shot: its pixels differ in places"
        if verdict == CANNOT_TELL and self.looks.threshold_says_little:
            return "pixels cannot tell, and the threshold says little here"
        is_lower = self.found.look_at[row] and self.found.similarity[row] < self.sure_from
        if is_lower and verdict != CONFIRMED:
            return f"below {self.sure_from:.4g}, and not confirmed by its pixels"
        return self.originals.reason(keeper, row)

    def __repr__(self) -> str:
        return (
            f"DedupResult({counted(self.images, 'images')}, "
            f"{counted(self.clusters, 'clusters')}, {self.removable:,} removable, "
            f"threshold {self.threshold:.4g} of {self.model})"
        )

    def __len__(self) -> int:
        return self.clusters

    def __iter__(self) -> Iterator[Cluster]:
        return describe(self.stored, self.found, self.scale, self._reason, self.looks.said)

    def to_arrow(self) -> pa.Table:
        """Return a row an image of a cluster, as the reports in CSV and Parquet have them."""
        return as_table(columns_of(rows_of(self)), self.header().metadata())

    def to_pandas(self) -> Any:
        """Return `to_arrow` as a DataFrame. Raises: SscdError: there is no pandas."""
        try:
            return self.to_arrow().to_pandas()
        except ImportError as error:
            raise SscdError("pandas is not installed", "pip install pandas") from error


def run(
    options: DedupOptions,
    embedding: EmbedOptions | None = None,
    announce: Callable[[JoinPlan], None] = lambda plan: None,
) -> DedupResult:
    """Find the clusters of a dataset; first embed `embedding`'s sources into it, if given.

    Then only the images of those sources count. An image counts only while its file is where
    and as it was when it was embedded, so that no removal rests on a file that has gone. Pairs
    that tasks have found (see `join`) are taken from them; else `announce` is told how they are
    looked for, and what that takes.

    Raises: StoreError: no descriptors to read. UsageError: an impossible threshold or policy;
        and all that `embed.run` raises.
    """
    calibrated_file(options.threshold, options.descriptors)
    decisions = decisions_at(options.decisions, options.descriptors / "decisions.jsonl")
    scale = Scale.load(options.post, options.score_norm)
    refuse_default(options.threshold, scale)
    embed.refuse_unmeasured(options.threshold, embedding)
    embedded = embed.run_before(embedding)
    if options.cluster:
        join.run_on_cluster(options.fill(JoinJob), options.cluster)
    joined = _joined_by_tasks(options, embedded) or _joined_here(options, scale, embedded, announce)
    stored = joined.stored
    copies, decided = without_rejected(
        joined.copies, stored.columns, decisions.rejected, decisions.pixels
    )
    sure_at = sure_from(joined.threshold, stored.provenance, believed=options.believed, scale=scale)
    sources = embedding.sources if embedding else ()
    clustering = _clustering(joined, copies, options, sources, sure_at)
    found = clustering.found
    return DedupResult(
        model=stored.provenance.model,
        threshold=joined.threshold,
        sure_from=sure_at,
        calibrated_images=calibrated_images(options.threshold, options.descriptors),
        scale=str(scale),
        in_background=scale.in_background(stored.descriptors),
        alike=joined.alike,
        crowded=int((clustering.doubts.crowd & found.clustered).sum()),
        low_content=int(clustering.doubts.low.sum()),
        decisions=decisions,
        decided=decided,
        images=joined.images,
        unreadable=joined.unreadable,
        stale=clustering.stale,
        aliases=clustering.aliases,
        unchecked=clustering.unchecked,
        removable_bytes=clustering.freed_bytes,
        recall=copies.recall,
        embedded=embedded,
        stored=stored,
        found=found,
        originals=clustering.originals,
        untold=clustering.untold,
        looks=clustering.looks,
    )


def run_task(options: DedupOptions, task: Task, progress: Progress) -> join.JoinResult:
    """Find the pairs of one task. Raises: as `joining.tasks.run`; UsageError: options of one
    machine."""
    options.check_divisible()
    return join.run(options.fill(JoinJob), task, progress)


def _joined_by_tasks(options: DedupOptions, embedded: EmbedResult | None) -> Joined | None:
    """Return what tasks have found, all of them, where any have begun."""
    if options.post or options.score_norm:  # tasks compare plainly
        return None
    saw = embedded.saw if embedded else None
    of_all = options.linkage == "components"
    return join_report.run(options.fill(JoinJob), saw, descriptors=of_all)


def _joined_here(
    options: DedupOptions,
    scale: Scale,
    embedded: EmbedResult | None,
    announce: Callable[[JoinPlan], None],
) -> Joined:
    """Look for the copies in this process."""
    with stage("reading descriptors"):
        stored = read_comparable(options.descriptors, post=scale.post)
    if embedded:
        stored = embedded.narrow(stored)
    threshold = resolve(options.threshold, stored.provenance, options.descriptors, scale)
    rows, bias = stored.descriptors, scale.bias(stored.descriptors)
    content = ~empty_images(stored, options.low_content)
    device = join.device_of(options.device)
    with stage("looking for pairs"):
        copies = find_copies(
            rows,
            look_at(options.threshold, stored.provenance, threshold),
            options.method,
            bias_N=bias,
            announce=announce,
            device=device,
            min_recall=options.min_recall,
            crowd_threshold=threshold,
            among_N=content,
        )
    some = random_rows(np.flatnonzero(content))
    alike = resemblance(rows[some], threshold, None if bias is None else bias[some])
    return Joined(stored, copies, threshold, len(stored), len(stored.unreadable), alike)


def _clustering(
    joined: Joined,
    copies: Copies,
    options: DedupOptions,
    sources: tuple[str, ...],
    sure_at: float,
) -> Clustering:
    """Find what may go, and for what. sources: as they were named, if they were."""
    stored, threshold = joined.stored, joined.threshold
    doubts = find_doubts(
        stored,
        copies,
        joined.alike,
        threshold,
        sure_at,
        low_content=options.low_content,
        second_look=options.second_look,
        believed=options.believed,
    )
    give_memory_back()
    with stage("clustering"):
        return Clustering(
            stored,
            copies,
            threshold,
            options.linkage,
            doubts,
            Originals.of(stored, Policy(options.keep, options.keep_path, sources)),
            options.second_look,
            SecondLooks(believed=options.believed),
        ).run()
