"""Which images of a dataset may go, and for which that stay.

The network finds copies, a second look at their pixels finds other shots among them and copies
among what is less alike, and it tells originals from what was made from them. Each of these changes
which image stays for which, so that clusters are made anew after it.

Shape legend: N rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sscd_cli.advice.doubts import RowDoubts
from sscd_cli.advice.files import FileCheck, check_files
from sscd_cli.advice.originals import Originals
from sscd_cli.advice.second_look import SecondLooks
from sscd_cli.choices import Linkage
from sscd_cli.descriptors.read import DescriptorSet
from sscd_cli.matching.clusters import cluster_copies
from sscd_cli.matching.copies import Clusters, Copies
from sscd_cli.matching.doubts import at_threshold, for_exact_copies, with_exact_copies
from sscd_cli.matching.products import Indices

_ROUNDS = 2  # of judging and looking: what stays after the first may be compared with others


@dataclass(eq=False)
class Clustering:
    """The clusters of the images whose files are still there, each file once.

    looks: what a second look says of the pixels, if one is to be taken. files: of the rows with
    a copy. present: bool (N,), the rows that count. found: the clusters, as far as all that is
    known. untold: how many stay in them because nothing tells which is the original.
    """

    stored: DescriptorSet
    copies: Copies
    threshold: float
    linkage: Linkage
    doubts: RowDoubts
    originals: Originals
    second_look: bool
    looks: SecondLooks
    files: FileCheck = field(init=False)
    present: NDArray[np.bool_] = field(init=False)
    found: Clusters = field(init=False)
    untold: int = field(init=False)
    _with_copy: NDArray[np.bool_] = field(init=False)
    _order: Indices = field(init=False)

    def __post_init__(self) -> None:
        if self.copies.forest_at is not None:  # which holds just some of the lower pairs
            self._leave_out_lower_pairs()
        self._with_copy = self.copies.rows | self.doubts.low_twins
        self._order = self.originals.order(self._with_copy)
        self.files = check_files(self.stored, np.flatnonzero(self._with_copy).tolist())
        self.present = ~(self.files.stale | self.files.aliases)

    def run(self) -> Clustering:
        """Find the clusters.

        Which is the original is asked where something may go after a second look, and where that
        could not tell what is less alike: of these both stay, and the original is named first.
        """
        self._cluster()
        self._leave_out_mixed()
        self._look()
        if self.looks.threshold_says_little:  # still less among lower pairs
            self._leave_out_lower_pairs()
            self._cluster_and_look()
        self._part_from_shots()
        self._confirm_lower_pairs()
        for _ in range(_ROUNDS if "original" in self.originals.policy.keep else 0):
            looked_at = self._spared, self._order, self.looks.shots, self.looks.open
            if not self.originals.judge(*looked_at):
                break
            self._order = self.originals.order(self._with_copy)
            self._cluster_and_look()
            self._confirm_lower_pairs()
        sure = self._spared
        spared = self.originals.spared(sure)
        self.found = for_exact_copies(spared, self.doubts.pairs.exact, self._order)
        gone = np.flatnonzero(spared.look_at & ~self.found.look_at)
        self.looks = replace(self.looks, gone=frozenset(gone.tolist()))
        self.untold = int((sure.removable & ~self.found.removable).sum())
        return self

    @property
    def stale(self) -> int:
        """How many were left out: changed, or nowhere to be found."""
        return int((~self.present & ~self.files.aliases).sum())

    @property
    def aliases(self) -> int:
        """How many were left out that another one is the very same file of."""
        return int(self.files.aliases.sum())

    @property
    def unchecked(self) -> int:
        """How many of clusters are on no disk of this machine."""
        return int((self.files.elsewhere & self.found.clustered).sum())

    @property
    def freed_bytes(self) -> int:
        """What removing would free: nothing for a file with other hard links."""
        freed = self.found.removable & ~self.files.linked
        return int(self.stored.columns["file_bytes"][freed].sum())

    @property
    def _spared(self) -> Clusters:
        """The clusters, in which what is in doubt after a second look stays."""
        return self.looks.spared(self.found)

    def _cluster(self) -> None:
        low, doubts = self.doubts.low, replace(self.doubts.pairs, confirmed=self.looks.confirmed)
        rows, present = self.stored.descriptors, self.present & ~low
        found = cluster_copies(self.copies, self._order, rows, self.linkage, present, doubts)
        self.found = with_exact_copies(found, self.present & low, doubts.exact, self._order)

    def _look(self) -> None:
        if self.second_look:
            self.looks = self.looks.at(self.stored, self.found, self.doubts.pairs)

    def _cluster_and_look(self) -> None:
        self._cluster()
        self._look()

    def _leave_out_lower_pairs(self) -> None:
        self.copies = at_threshold(self.copies, self.threshold)

    def _leave_out_mixed(self) -> None:
        """Let an image on no disk of this machine be in a cluster of such images only.

        Nothing that could be removed here has a keeper that cannot be looked for.
        """
        elsewhere = self.files.elsewhere
        here = self.found.component[self.found.clustered & ~elsewhere]
        mixed = elsewhere & np.isin(self.found.component, here)
        if mixed.any():
            self.present &= ~mixed
            self._cluster()

    def _part_from_shots(self) -> None:
        """Let copies stay for each other whose keeper is another shot of both."""
        pairs = self.doubts.pairs
        looked_at = self.stored, self.found, self.copies, pairs.threshold
        self.looks, apart = self.looks.among_shots(*looked_at)
        if len(apart):
            self.doubts = replace(self.doubts, pairs=replace(pairs, apart=apart))
            self._cluster_and_look()

    def _confirm_lower_pairs(self) -> None:
        """Look at pairs that are less alike than copies are; those confirmed are copies, too."""
        for _ in range(_ROUNDS if self.second_look else 0):
            before = self.looks
            self.looks = before.at_lower(self.stored, self.found, self.doubts.pairs)
            if self.looks is before:
                break
            self._cluster_and_look()
