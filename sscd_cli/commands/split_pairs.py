"""Two sets of images compared: which pairs of images count as leaks, and how much that is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sscd_cli.choices import BANDS, EDITED, EXACT_BYTES, LOOK_AT, SAME_PIXELS
from sscd_cli.commands import against
from sscd_cli.commands.against import AgainstResult
from sscd_cli.commands.splits import Split
from sscd_cli.decisions.baseline import KnownLeak
from sscd_cli.decisions.records import Decisions, read_decisions
from sscd_cli.errors import SscdError
from sscd_cli.evaluation.strangers import expected_pairs, images_among
from sscd_cli.matching.decided import decided_between
from sscd_cli.matching.join import Pairs, similarity_matrix
from sscd_cli.options.dedup import DedupOptions
from sscd_cli.options.leaks import LeaksOptions
from sscd_cli.reports.leaks.record import (
    ACCEPTED,
    KNOWN,
    NEW,
    STATUSES,
    UNSURE,
    Counts,
    Leak,
    Verdict,
)
from sscd_cli.scoring.scale import Scale
from sscd_cli.scoring.threshold import look_at
from sscd_cli.text import counted

_CODES = {status: code for code, status in enumerate(STATUSES)}
_UNKNOWN = "0" * 32  # the hash of what older versions embedded without one
_SAMPLED_PAIRS = 10_000_000  # whose similarities tell how alike strangers are
_TO_LOOK_AT = 0.8  # of the threshold: from there on a pair may be a copy


@dataclass(frozen=True, eq=False)
class SplitPair:
    """A test set and one that it is held against.

    found: every pair of a test image and a training image. status: uint8 (P,), the place of each
    pair's status in `reports.leaks.record.STATUSES`. expected: how many test images have a stranger
    above the threshold by chance; None where the sets are too small to tell.
    """

    test: Split
    train: Split
    found: AgainstResult
    status: NDArray[np.uint8]
    counts: Counts
    verdict: Verdict
    expected: float | None

    def __iter__(self) -> Iterator[Leak]:
        pairs = self.found.pairs
        order = np.lexsort((pairs.right, -pairs.similarity, pairs.left))
        for place_, match in zip(order, self.found, strict=True):
            yield Leak(STATUSES[self.status[place_]], match)

    def leaking(self) -> NDArray[np.bool_]:
        """bool (P,): the pairs that count, known ones too."""
        return self.status <= _CODES[KNOWN]

    def known_leaks(self) -> Iterator[KnownLeak]:
        """Yield what a baseline keeps of the pairs that count."""
        for known, leaks in zip(_known_leaks(self.found), self.leaking(), strict=True):
            if leaks and known:
                yield known

    def clean(self) -> NDArray[np.bool_]:
        """bool (N,): the test images that are in no pair that counts or is in doubt."""
        rows = np.ones(len(self.test), np.bool_)
        rows[self.found.pairs.left[self.status != _CODES[ACCEPTED]]] = False
        return rows


class Judge:
    """Compares two sets, and says what each pair of images counts as.

    met: the pairs of the baseline that were found.
    """

    def __init__(self, options: LeaksOptions, scale: Scale, baseline: set[KnownLeak]) -> None:
        self.options, self.scale = options, scale
        self.met: set[KnownLeak] = set()
        self._by_contents = {known.contents: known for known in baseline}
        self._by_pixels = {known.pixels: known for known in baseline if known.pixels}

    def found(self, test: Split, train: Split) -> tuple[AgainstResult, NDArray[np.uint8]]:
        """Return the pairs of images of two sets, and the status of each.

        Raises: as `commands.leaks.run`.
        """
        own = {"descriptors": test.stored.folder, "against": train.stored.folder}
        settings = DedupOptions(**self.options.shared_with(DedupOptions) | own)
        found = against.compare(test.stored, train.stored, settings, self.scale)
        _refuse_undecided(found)
        found = against.with_frames(found)
        decisions = read_decisions(self.options.decisions or test.home / "decisions.jsonl")
        status, decided, known = self._status(found, decisions)
        is_open = status == _CODES[UNSURE]
        looked = against.looked_at(
            found,
            status == _CODES[NEW],
            decided,
            found.lower & is_open,
            believed=settings.believed,
            removing=False,
        )
        status[found.sure & ~looked.sure] = _CODES[UNSURE]
        status[is_open & looked.sure] = _CODES[NEW]
        status[is_open & looked.sure & known] = _CODES[KNOWN]
        return replace(looked, sure=status != _CODES[UNSURE]), status

    def copies(self, test: Split, train: Split) -> Pairs:
        """Return the pairs that count. Raises: as `found`."""
        found, status = self.found(test, train)
        return found.pairs.chosen(status <= _CODES[KNOWN])

    def compare(self, test: Split, train: Split) -> SplitPair:
        """Judge one pair of sets; what is resolved of the baseline only all of them tell."""
        found, status = self.found(test, train)
        if self.options.write_baseline:
            written = np.array([known is not None for known in _known_leaks(found)], np.bool_)
            status[(status == _CODES[NEW]) & written] = _CODES[KNOWN]
        counts = _counts(found, status, len(train.stored.unreadable))
        verdict = _verdict(self.options, counts)
        expected = _expected(found, self.options, self.scale)
        return SplitPair(test, train, found, status, counts, verdict, expected)

    def _status(
        self, found: AgainstResult, decisions: Decisions
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
        """Return the status of each pair before any is looked at.

        And which pairs a person decided, and which are in the baseline.
        """
        in_baseline = np.zeros(len(found.pairs), np.bool_)
        status = np.where(found.sure, _CODES[NEW], _CODES[UNSURE]).astype(np.uint8)
        columns = found.stored.columns, found.other.columns
        verdicts = decided_between(found.pairs, *columns, decisions.verdicts, decisions.pixels)
        for number, (verdict, _) in verdicts.items():
            status[number] = _CODES[NEW if verdict == "same" else ACCEPTED]
        for number, pair in enumerate(_known_leaks(found) if self._by_contents else ()):
            if not pair:
                continue
            # the pair of the baseline that this is, or that has the same pixels
            known = self._by_contents.get(pair.contents) or self._by_pixels.get(pair.pixels)
            if known:
                self.met.add(known)
                in_baseline[number] = True
                if status[number] == _CODES[NEW]:
                    status[number] = _CODES[KNOWN]
        decided = np.zeros(len(status), np.bool_)
        decided[list(verdicts)] = True
        return status, decided, in_baseline


def _refuse_undecided(found: AgainstResult) -> None:
    """Raise SscdError where what was found does not tell how much leaks."""
    if found.stale:
        what = f"{counted(found.stale, 'images')} of pairs vanished or changed after embedding"
        raise SscdError(what, "run sscd embed again, with --prune")
    if found.crowded:
        what = (
            f"these sets resemble one another: {found.alike.share:.1%} of random pairs are above "
            f"the threshold {found.threshold:.4g}, which tells no copy"
        )
        raise SscdError(what, "run sscd calibrate for a threshold of these, or add --yes")


def _known_leaks(found: AgainstResult) -> Iterator[KnownLeak | None]:
    """Yield the sorted hashes of each pair; None where one content is not known."""
    ours, theirs = found.stored.columns, found.other.columns
    for left, right in zip(found.pairs.left, found.pairs.right, strict=True):
        contents, pixels = (
            sorted((ours[name][left].tobytes().hex(), theirs[name][right].tobytes().hex()))
            for name in ("content_hash", "pixel_hash")
        )
        if contents[0] == _UNKNOWN:
            yield None
        else:
            known = () if pixels[0] == _UNKNOWN else (pixels[0], pixels[1])
            yield KnownLeak((contents[0], contents[1]), known)


def _expected(found: AgainstResult, options: LeaksOptions, scale: Scale) -> float | None:
    """Return how many test images have a stranger above the threshold by chance."""
    rng = np.random.default_rng(0)
    sides = [side.descriptors for side in (found.stored, found.other)]
    most = max(int(_SAMPLED_PAIRS**0.5), *(_SAMPLED_PAIRS // len(side) for side in sides))
    ours, theirs = (
        side[np.sort(rng.permutation(len(side))[:most])] if len(side) > most else side
        for side in sides
    )
    sample = similarity_matrix(ours, theirs)
    bias = scale.bias(ours)
    if bias is not None:
        sample -= bias[:, None]
    least = look_at(options.threshold, found.stored.provenance, found.threshold)
    ceiling = min(least, _TO_LOOK_AT * found.threshold)
    pairs = expected_pairs(sample.ravel(), found.images * found.others, ceiling, found.threshold)
    return None if pairs is None else images_among(pairs, found.images)


def _counts(found: AgainstResult, status: NDArray[np.uint8], unreadable_others: int) -> Counts:
    """Count each test image once, by the pair of it that weighs most."""
    weight = np.full(found.images, len(STATUSES))
    np.minimum.at(weight, found.pairs.left, status)
    by_status = {name: int((weight == code).sum()) for name, code in _CODES.items()}
    leaked = weight <= _CODES[KNOWN]
    bands = _bands(found, status)[leaked]
    return Counts(
        images=found.images,
        others=found.others,
        unreadable=found.unreadable,
        unreadable_others=unreadable_others,
        leaked=int(leaked.sum()),
        new=by_status[NEW],
        known=by_status[KNOWN],
        accepted=by_status[ACCEPTED],
        look_at=by_status[UNSURE],
        resolved=0,
        bands={b: int((bands == BANDS.index(b)).sum()) for b in BANDS if b != LOOK_AT},
    )


def _bands(found: AgainstResult, status: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return for each test image the place in `BANDS` of its most alike leak."""
    leaks = found.pairs.chosen(status <= _CODES[KNOWN])
    best = np.full(found.images, BANDS.index(LOOK_AT))
    band = np.full(len(leaks), BANDS.index(EDITED))
    for name, word in (("pixel_hash", SAME_PIXELS), ("content_hash", EXACT_BYTES)):
        digests = found.stored.columns[name][leaks.left]
        same = (digests == found.other.columns[name][leaks.right]).all(axis=1)
        band[same & digests.any(axis=1)] = BANDS.index(word)
    np.minimum.at(best, leaks.left, band)
    return best


def _verdict(options: LeaksOptions, counts: Counts) -> Verdict:
    if counts.new > options.max_leakage.of(counts.images):
        return "failed"
    if options.warn_at and counts.new >= options.warn_at.of(counts.images):
        return "warned"
    return "passed"
