"""What a gate says: every format writes these records and nothing else."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, get_args

from sscd_cli.choices import BANDS, LOOK_AT, PLAIN
from sscd_cli.reports.header import Header
from sscd_cli.reports.matches import Match
from sscd_cli.reports.reported import record_of
from sscd_cli.text import counted

# what becomes of a pair; the first one alone counts against the budget
NEW, KNOWN, ACCEPTED, UNSURE = STATUSES = ("new", "in the baseline", "accepted", LOOK_AT)

Verdict = Literal["failed", "warned", "passed"]  # the worst first


@dataclass(frozen=True, slots=True)
class Leak:
    """An image of the test set and one like it in the training set.

    status: one of `STATUSES`. fingerprint: the sorted content hashes of the two, joined by a dash:
    the same on every machine, whatever the files are called.
    """

    status: str
    match: Match

    @property
    def fingerprint(self) -> str:
        return "-".join(sorted((self.match.content_hash, self.match.other_content_hash)))

    @property
    def sentence(self) -> str:
        """Say which two images are alike, and how."""
        match = self.match
        return f"{match.path} is {match.other}: {match.band}, similarity {match.similarity:.3f}"

    @property
    def rank(self) -> tuple[int, int, float]:
        """By which the leaks that matter most come first: new ones, and the most alike."""
        match = self.match
        return STATUSES.index(self.status), BANDS.index(match.band), -match.similarity

    def record(self) -> dict[str, Any]:
        """Return it as one flat record."""
        return {"status": self.status, "fingerprint": self.fingerprint, **record_of(self.match)}


@dataclass(frozen=True)
class Counts:
    """How many test images leak; each is counted once in each of these.

    images, others: with a descriptor, in the test and in the training set. unreadable,
    unreadable_others: without. leaked: with a copy that nobody accepted; of them, new: with one
    that is not in the baseline, known: only with such. accepted: only with copies that were
    accepted by decision. look_at: only with what has to be looked at. resolved: pairs of the
    baseline that are there no more. bands: of the leaked ones, how they are like the copy that is
    most like them.
    """

    images: int
    others: int
    unreadable: int
    unreadable_others: int
    leaked: int
    new: int
    known: int
    accepted: int
    look_at: int
    resolved: int
    bands: Mapping[str, int]

    @property
    def share(self) -> float:
        """Which share of the test images leaks, of 1."""
        return self.leaked / self.images


@dataclass(frozen=True)
class LeakReport:
    """What was found between two sets.

    test, train: as they were named. max_leakage, warn_at: as they were typed; None is no warning.
    expected: how many test images have a stranger above the threshold by chance; None where the
    sets are too small to tell. leaks: begins anew each time it is called, images in their order.
    """

    test: str
    train: str
    header: Header
    counts: Counts
    verdict: Verdict
    max_leakage: str
    warn_at: str | None
    expected: float | None
    leaks: Callable[[], Iterator[Leak]]

    def worst(self, most: int) -> list[Leak]:
        """Return the leaks that matter most, the worst first."""
        return heapq.nsmallest(most, self.leaks(), key=attrgetter("rank"))

    @property
    def title(self) -> str:
        return f"sscd leaks: {self.verdict}"

    @property
    def sentence(self) -> str:
        """Say how much leaks and what that is held against."""
        counts = self.counts
        share = (
            f"{counts.leaked:,} of {counted(counts.images, 'images')} of {self.test} "
            f"({counts.share:.1%}) have a copy among {counts.others:,} of {self.train}"
        )
        if not counts.leaked:
            return share
        held = "more than" if self.verdict == "failed" else "within"
        return f"{share}: {counts.new:,} new, {held} the {self.max_leakage} allowed"

    def facts(self) -> Iterator[tuple[str, str]]:
        """Yield what else there is to say, in words for people: a name and its value each."""
        counts = self.counts
        for band, number in counts.bands.items():
            yield band, f"{number:,}"
        yield LOOK_AT, f"{counts.look_at:,} more"
        yield "new", f"{counts.new:,}"
        yield "in the baseline", f"{counts.known:,}, and {counts.resolved:,} resolved"
        yield "accepted by decision", f"{counts.accepted:,} more"
        both = f"{counts.unreadable:,} of {self.test}, {counts.unreadable_others:,} of {self.train}"
        yield "unreadable", both
        if self.expected is not None:
            yield "expected by chance", f"about {self.expected:,.1f}, of images that are no copies"
        yield "model", self.header.model
        scale = "" if self.header.scale == PLAIN else f", {self.header.scale}"
        yield "threshold", f"{self.header.threshold:.4g}{scale}"


@dataclass(frozen=True)
class GateReport:
    """One result for all formats: each set held against those named after it, in that order."""

    pairs: tuple[LeakReport, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of all."""
        return min((report.verdict for report in self.pairs), key=get_args(Verdict).index)

    def leaks(self) -> Iterator[Leak]:
        """Yield the leaks of all pairs of sets."""
        for report in self.pairs:
            yield from report.leaks()

    def worst(self, most: int) -> list[Leak]:
        """Return the leaks that matter most, as `LeakReport.worst`."""
        return heapq.nsmallest(most, self.leaks(), key=attrgetter("rank"))

    def table(self) -> list[list[str]]:
        """Return what each set has of each later one, in words: a row of names, then a row a set.

        Empty for two sets, of which there is one pair.
        """
        if len(self.pairs) == 1:
            return []
        names = list(dict.fromkeys(report.train for report in self.pairs))
        rows: dict[str, dict[str, str]] = {}
        for report in self.pairs:
            cell = f"{report.counts.leaked:,} ({report.counts.share:.1%})"
            rows.setdefault(report.test, {})[report.train] = cell
        body = ([test, *(cells.get(name, "") for name in names)] for test, cells in rows.items())
        return [["", *names], *body]
