"""`sscd leaks`: a gate that says how much of a test set has a copy in the training set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, combinations

import numpy as np

from sscd_cli.commands.resplit import NewSplit, resplit
from sscd_cli.commands.split_pairs import Judge, SplitPair
from sscd_cli.commands.splits import Split, read_splits
from sscd_cli.decisions.baseline import read_baseline, write_baseline
from sscd_cli.embedding.job import EmbedResult
from sscd_cli.options.leaks import LeaksOptions
from sscd_cli.reports.leaks.record import GateReport, LeakReport
from sscd_cli.scoring.scale import Scale
from sscd_cli.scoring.threshold import refuse_default


@dataclass(frozen=True, eq=False)
class LeaksResult:
    """What was found between any two sets.

    embedded: of each set of images, what embedding did. resplit: the sets divided anew, if so.
    """

    options: LeaksOptions
    sets: tuple[Split, ...]
    pairs: tuple[SplitPair, ...]
    embedded: tuple[EmbedResult, ...]
    resplit: tuple[NewSplit, ...]

    def clean_ids(self) -> Iterator[str]:
        """Yield the ids of the images, of all sets but the last, that are like none named later."""
        for split in self.sets[:-1]:
            ours = [pair.clean() for pair in self.pairs if pair.test is split]
            clean = np.logical_and.reduce(ours)
            yield from (id for id, fine in zip(split.stored.ids, clean, strict=True) if fine)

    def report(self, command: str = "") -> GateReport:
        """Return what all formats are made of; `command` is what was typed."""
        return GateReport(tuple(self._report(pair, command) for pair in self.pairs))

    def _report(self, pair: SplitPair, command: str) -> LeakReport:
        warn_at = self.options.warn_at
        return LeakReport(
            test=pair.test.name,
            train=pair.train.name,
            header=replace(pair.found.header(command), report="leaks", counts={}),
            counts=pair.counts,
            verdict=pair.verdict,
            max_leakage=str(self.options.max_leakage),
            warn_at=str(warn_at) if warn_at else None,
            expected=None if pair.expected is None else round(pair.expected, 1),
            leaks=pair.__iter__,
        )


def run(options: LeaksOptions) -> LeaksResult:
    """Compare each set with those named after it, embedding what is images, and judge each pair.

    A pair that a person called no copy, or that shall stay in both, is accepted; one that was
    called the same is a leak, whatever its similarity. Writes the baseline and the lists that
    were asked for.

    Raises: NoImagesError: a set is empty, or none of it can be read. SscdError: the images of a
        pair have changed since they were embedded, or the sets are such that no threshold tells a
        copy: neither is a result. UsageError, StoreError: as `against.run`.
    """
    scale = Scale.load(options.post, options.score_norm)
    refuse_default(options.threshold, scale)
    baseline = read_baseline(options.baseline) if options.baseline else set()
    splits = read_splits(options, scale)
    judge = Judge(options, scale, baseline)
    pairs = tuple(judge.compare(test, train) for test, train in combinations(splits.sets, 2))
    resolved = len(baseline - judge.met)
    pairs = tuple(replace(p, counts=replace(p.counts, resolved=resolved)) for p in pairs)
    if options.write_baseline:
        write_baseline(options.write_baseline, chain(*(pair.known_leaks() for pair in pairs)))
    new = resplit(splits.sets, pairs, judge, options.resplit) if options.resplit else []
    return LeaksResult(options, splits.sets, pairs, splits.embedded, tuple(new))
