"""`sscd dedup --against`: which images of one dataset are copies of images in another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sscd_cli.advice.animations import same_between
from sscd_cli.advice.doubts import MatchDoubts
from sscd_cli.advice.files import check_files
from sscd_cli.advice.second_look import SecondLooks
from sscd_cli.commands import embed
from sscd_cli.decisions.records import Decisions, decisions_at
from sscd_cli.descriptors.read import DescriptorSet, read_comparable, refuse_unlike
from sscd_cli.embedding.job import EmbedResult
from sscd_cli.images.status import is_file
from sscd_cli.joining import tasks as join
from sscd_cli.machines.stages import stage
from sscd_cli.matching.decided import decided_between
from sscd_cli.matching.doubts import Resemblance, crowded_between
from sscd_cli.matching.join import Pairs, cross_pairs
from sscd_cli.options.dedup import DedupOptions
from sscd_cli.options.embed import EmbedOptions
from sscd_cli.reports.header import Header
from sscd_cli.reports.matches import Match, describe
from sscd_cli.scoring.scale import Scale
from sscd_cli.scoring.threshold import (
    calibrated_file,
    look_at,
    refuse_default,
    resolve,
    sure_from,
)


@dataclass(frozen=True, eq=False)
class AgainstResult:
    """Every pair of an image here and one there; iterating makes the matches one by one.

    sure_from: see there. scale: of similarities, see `scoring.scale`; images here are the
    queries. in_background: images here and there that normalise. stale: here and there, left out
    because the file has vanished or changed since it was embedded. embedded: what embedding the
    sources did, if there were any. checked: bool (P,), the pairs whose files were both found.
    sure: bool (P,), the pairs that are copies; the others are to be looked at. alike: how alike
    random images here and there are. crowd: bool (P,), the pairs that are not believed for that, or
    because one of the two resembles many. exact: of here and there, as in `MatchDoubts`.
    low_content: how many here are compared with their exact copies only, for there is next to
    nothing in them. decisions: what people said. decided: pairs left out because both
    stay by that. looks: what a
    second look at the pixels said of pairs, by their places, that are no exact copies.
    """

    model: str
    threshold: float
    sure_from: float
    scale: str
    in_background: int
    images: int
    others: int
    unreadable: int
    alike: Resemblance
    crowd: NDArray[np.bool_]
    exact: tuple[NDArray[np.int64], NDArray[np.int64]]
    low_content: int
    stale: int
    embedded: EmbedResult | None
    stored: DescriptorSet
    other: DescriptorSet
    pairs: Pairs
    checked: NDArray[np.bool_]
    sure: NDArray[np.bool_]
    decisions: Decisions = field(default_factory=Decisions)
    decided: int = 0
    looks: SecondLooks = field(default_factory=SecondLooks)

    @property
    def leaked(self) -> int:
        """How many of the `images` here have a copy there."""
        return _distinct(self.pairs.left[self.sure])

    @property
    def same(self) -> NDArray[np.bool_]:
        """bool (P,): the pairs of exact copies."""
        ours, theirs = self.exact
        same: NDArray[np.bool_] = ours[self.pairs.left] == theirs[self.pairs.right]
        return same

    @property
    def lower(self) -> NDArray[np.bool_]:
        """bool (P,): the pairs that are copies only if their pixels confirm it."""
        pairs, frames = self.pairs, (self.stored.columns["frames"], self.other.columns["frames"])
        plain = (frames[0][pairs.left] <= 1) & (frames[1][pairs.right] <= 1)
        below: NDArray[np.bool_] = pairs.similarity < np.float32(self.sure_from)
        return below & plain & ~self.crowd & ~self.same

    @property
    def crowded(self) -> int:
        """How many here have a pair that is not believed."""
        return _distinct(self.pairs.left[self.crowd])

    @property
    def look_at(self) -> int:
        """How many images here have nothing but pairs to look at."""
        return _distinct(self.pairs.left) - self.leaked

    @property
    def unchecked(self) -> int:
        """How many here are in a pair of which one file is on no disk of this machine."""
        return _distinct(self.pairs.left[~self.checked])

    @property
    def no_files(self) -> int:
        """Return how many of the leaked images are no files of this machine."""
        names = self.stored.sources, self.stored.ids
        rows = set(self.pairs.left[self.sure].tolist())
        return sum(not is_file(*(column[row] for column in names)) for row in rows)

    def header(self, command: str = "") -> Header:
        """Return what a report of this begins with; `command` is what was typed."""
        counts = {
            "images": self.images,
            "others": self.others,
            "unreadable": self.unreadable,
            "matches": len(self.pairs),
            "leaked": self.leaked,
        }
        return Header.of(
            self.stored, self.threshold, self.scale, counts, against=self.other, command=command
        )

    def __iter__(self) -> Iterator[Match]:
        return describe(
            self.stored,
            self.other,
            self.pairs,
            self.checked,
            self.sure,
            self.looks.verdicts,
            self.scale,
        )


def run(options: DedupOptions, embedding: EmbedOptions | None = None) -> AgainstResult:
    """Compare a dataset with `options.against`; first embed `embedding`'s sources, if given.

    Raises: StoreError: a dataset is missing, or the two cannot be compared. UsageError: an
        impossible threshold; and all that `embed.run` raises.
    """
    calibrated_file(options.threshold, options.descriptors)
    decisions = decisions_at(options.decisions, options.descriptors / "decisions.jsonl")
    if options.against is None:
        raise ValueError("there is no dataset to compare with")
    scale = Scale.load(options.post, options.score_norm)
    refuse_default(options.threshold, scale)
    embed.refuse_unmeasured(options.threshold, embedding)
    theirs = read_comparable(options.against, post=scale.post)
    embedded = embed.run_before(embedding)
    ours = read_comparable(options.descriptors, post=scale.post)
    if embedded:
        ours = embedded.narrow(ours)
    found = compare(ours, theirs, options, scale, embedded)
    found = _without_rejected(found, decisions)
    if not options.believed:
        found = _without_crowds(found)
    if not options.second_look:
        return found
    found = with_frames(found)
    return looked_at(
        found, found.sure, found.same, found.lower, believed=options.believed, removing=True
    )


def _without_rejected(found: AgainstResult, decisions: Decisions) -> AgainstResult:
    """Leave out the pairs of which a person said that both stay."""
    columns = found.stored.columns, found.other.columns
    rejected = dict.fromkeys(decisions.rejected, "rejected")
    out = np.zeros(len(found.pairs), np.bool_)
    out[list(decided_between(found.pairs, *columns, rejected, decisions.pixels))] = True
    return replace(
        found,
        pairs=found.pairs.chosen(~out),
        checked=found.checked[~out],
        crowd=found.crowd[~out],
        sure=found.sure[~out],
        decisions=decisions,
        decided=int(out.sum()),
    )


def _without_crowds(found: AgainstResult) -> AgainstResult:
    """Let only exact copies count of images that resemble many in the other dataset."""
    crowd = found.crowd | crowded_between(found.pairs, found.threshold, found.exact, found.alike)
    return replace(found, crowd=crowd, sure=found.sure & (~crowd | found.same))


def with_frames(found: AgainstResult) -> AgainstResult:
    """Let files of several frames count as copies where some frames are confirmed to be."""
    above = found.pairs.similarity >= np.float32(found.threshold)
    doubted = above & ~found.sure & ~found.crowd
    sure = found.sure.copy()
    sure[doubted] = same_between(found.stored, found.other, found.pairs.chosen(doubted))
    return replace(found, sure=sure)


def looked_at(
    found: AgainstResult,
    counting: NDArray[np.bool_],
    certain: NDArray[np.bool_],
    lower: NDArray[np.bool_],
    *,
    believed: bool,
    removing: bool,
) -> AgainstResult:
    """Look at the pixels of pairs: what may be another shot is to be looked at.

    Args: as of `SecondLooks.at_pairs`; exact copies are certain.
    """
    looks = SecondLooks.at_pairs(
        found.stored,
        found.other,
        found.pairs,
        counting,
        certain | found.same,
        lower,
        believed=believed,
        removing=removing,
    )
    sure = found.sure.copy()
    sure[list(looks.lower)] = True
    sure[looks.in_doubt] = False
    return replace(found, sure=sure, looks=looks)


def compare(
    ours: DescriptorSet,
    theirs: DescriptorSet,
    options: DedupOptions,
    scale: Scale,
    embedded: EmbedResult | None = None,
) -> AgainstResult:
    """Compare two sets that were read. options: the threshold, what is believed, the device.

    Raises: StoreError: they cannot be compared. UsageError: an impossible threshold.
    """
    refuse_unlike(ours, theirs)
    threshold = resolve(options.threshold, ours.provenance, ours.folder, scale)
    bias = scale.bias(ours.descriptors)
    device = join.device_of(options.device)
    least = look_at(options.threshold, ours.provenance, threshold)
    sure_at = sure_from(threshold, ours.provenance, believed=options.believed, scale=scale)
    with stage("comparing images"):
        every = cross_pairs(ours.descriptors, theirs.descriptors, least, bias, device)
    doubts = MatchDoubts.between(
        ours,
        theirs,
        threshold,
        bias,
        sure_from=sure_at,
        low_content=options.low_content,
        believed=options.believed,
    )
    pairs, checked, stale = _among_present_files(ours, theirs, doubts.with_content(every))
    crowd = doubts.crowd(pairs)
    return AgainstResult(
        model=ours.provenance.model,
        threshold=threshold,
        sure_from=sure_at,
        scale=str(scale),
        in_background=sum(scale.in_background(side.descriptors) for side in (ours, theirs)),
        images=len(ours),
        others=len(theirs),
        unreadable=len(ours.unreadable),
        alike=doubts.alike,
        crowd=crowd,
        exact=doubts.exact,
        low_content=_distinct(every.left[doubts.low(every)]),
        stale=stale,
        embedded=embedded,
        stored=ours,
        other=theirs,
        pairs=pairs,
        checked=checked,
        sure=doubts.sure(pairs, crowd),
    )


def _among_present_files(
    ours: DescriptorSet, theirs: DescriptorSet, pairs: Pairs
) -> tuple[Pairs, NDArray[np.bool_], int]:
    """Leave out the pairs of files that have vanished or changed.

    Returns: the pairs that stay, whether both files of each were looked for, and how many images
        were left out.
    """
    left = check_files(ours, sorted(set(pairs.left.tolist())))
    right = check_files(theirs, sorted(set(pairs.right.tolist())))
    fine = ~(left.stale[pairs.left] | right.stale[pairs.right])
    present = pairs.chosen(fine)
    checked = ~(left.elsewhere[present.left] | right.elsewhere[present.right])
    return present, checked, int(left.stale.sum() + right.stale.sum())


def _distinct(rows: NDArray[np.int64]) -> int:
    return len(set(rows.tolist()))
