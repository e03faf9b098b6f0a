"""Which of the images that may go are other shots of what would stay, told from their pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from sscd_cli.advice.pictures import picture_of
from sscd_cli.advice.pixels.verdict import second_look, small
from sscd_cli.choices import CANNOT_TELL, CONFIRMED, OTHER_SHOT
from sscd_cli.descriptors.read import DescriptorSet
from sscd_cli.machines.forks import on_all_cores
from sscd_cli.machines.stages import stage
from sscd_cli.matching.copies import Clusters, Copies
from sscd_cli.matching.doubts import Doubts
from sscd_cli.matching.join import Pairs
from sscd_cli.matching.products import Indices

# copies confirmed for each other shot: with fewer, what pixels cannot tell is rather a shot, too
_COPIES_A_SHOT = 20
_FEW = 4  # pairs of a row that are looked at in any case
# pairs that pixels cannot tell, and how many for each that is confirmed, from which these may be no
# copies: of edited photographs 15 of 100 cannot be told, of unlike pictures of soft colours all
_UNTOLD, _UNTOLD_A_COPY = 5, 2
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class SecondLooks:
    """verdicts: by row, of the images that were looked at again beside their keepers. by_time:
    the other shots among them that only the time of their taking tells. believed: the threshold
    is (see `DedupOptions.believed`), whatever other pairs turn out to be. known: of each pair of
    rows that was looked at, its verdict, and whether only the time tells it. lower: those of the
    images that are too little alike to be copies (see `sure_from`) unless they are confirmed.
    removing: what is a copy may be removed, so that pixels must confirm more than a few of what is
    above the threshold, for else it says little; a gate counts what they cannot tell. image_of: of
    pairs of two datasets, by their places, the row of ours. gone: exact copies of images that stay
    to be looked at, which go for these, whatever was said of them beside their keepers.
    """

    verdicts: Mapping[int, str] = field(default_factory=dict)
    by_time: Set[int] = frozenset()
    believed: bool = False
    known: Mapping[frozenset[int], tuple[str | None, bool]] = field(default_factory=dict)
    lower: Set[int] = frozenset()
    removing: bool = True
    image_of: Indices | None = None
    gone: Set[int] = frozenset()

    def at(self, stored: DescriptorSet, found: Clusters, doubts: Doubts) -> SecondLooks:
        """Look at each removable image and its keeper, unless they are exact copies.

        Where pixels cannot tell, files that say when they were taken do: no edit changes that. An
        image that is not here, or cannot be read, has no verdict. A pair is looked at once only.
        Animations with other bytes that count as exact copies were looked at frame by frame, and
        are confirmed.
        """
        same = doubts.exact == doubts.exact[found.keeper]
        asked = np.flatnonzero(found.removable & ~same)
        known = self._known_with(stored, found.keeper[asked], asked)
        rows = np.flatnonzero((found.removable & ~same) | found.look_at)
        pairs = _pairs(found.keeper[rows], rows)
        told = {row: known[p] for row, p in zip(rows.tolist(), pairs, strict=True) if p in known}
        verdicts = {row: verdict for row, (verdict, _) in told.items() if verdict}
        several = np.flatnonzero(found.removable & same & (stored.columns["frames"] > 1))
        hash_N = stored.columns["content_hash"]
        other = (hash_N[several] != hash_N[found.keeper[several]]).any(axis=1)
        verdicts |= dict.fromkeys(several[other].tolist(), CONFIRMED)
        by_time = {row for row, (_, late) in told.items() if late}
        lower = verdicts.keys() & set(np.flatnonzero(_lower(found, doubts)).tolist())
        return SecondLooks(verdicts, by_time, self.believed, known, lower)

    def at_lower(self, stored: DescriptorSet, found: Clusters, doubts: Doubts) -> SecondLooks:
        """Look at what is below the threshold, too, each beside its keeper, if it says something.

        Their verdicts are known then, and `confirmed`. Returns: itself if all were known before.
        """
        plain = ~(doubts.rows | doubts.rows[found.keeper])
        rows = np.flatnonzero(_lower(found, doubts) & plain & (not self.threshold_says_little))
        known = self._known_with(stored, found.keeper[rows], rows, lower=True)
        return replace(self, known=known) if len(known) > len(self.known) else self

    @property
    def confirmed(self) -> Indices:
        """int64 (K, 2): all pairs of rows that are known for copies, the smaller one first."""
        pairs = [sorted(pair) for pair, (said, _) in self.known.items() if said == CONFIRMED]
        return np.array(pairs, np.int64).reshape(-1, 2)

    def among_shots(
        self, stored: DescriptorSet, found: Clusters, copies: Copies, threshold: float
    ) -> tuple[SecondLooks, Indices]:
        """Look at each other shot and the one of them most like it, which may be its copy.

        Returns: the same that knows these pairs; int64 (K, 2), pairs of rows, the smaller one
            first: those that have a copy, and the keepers of which they are other shots.
        """
        left, right = _most_alike(self.shots, copies, threshold)
        known = self._known_with(stored, left, right)
        pairs = [pair for pair in _pairs(left, right) if known[pair][0] == CONFIRMED]
        rows = np.array(sorted(frozenset().union(*pairs)), np.int64)
        apart = np.sort(np.stack([rows, found.keeper[rows]], axis=1), axis=1)
        return replace(self, known=known), apart

    def _known_with(
        self, stored: DescriptorSet, keeper_P: Indices, row_P: Indices, *, lower: bool = False
    ) -> Mapping[frozenset[int], tuple[str | None, bool]]:
        """Look at pairs that are not known yet; return what is known then."""
        pairs = _pairs(keeper_P, row_P)
        new = [place for place, pair in enumerate(pairs) if pair not in self.known]
        looks = self.between(stored, keeper_P[new], stored, row_P[new], lower=lower)
        said = {pairs[at]: (looks.verdicts.get(n), n in looks.by_time) for n, at in enumerate(new)}
        return {**self.known, **said}

    @classmethod
    def between(
        cls,
        keepers: DescriptorSet,
        keeper_P: Indices,
        copies: DescriptorSet,
        copy_P: Indices,
        *,
        lower: bool = False,
    ) -> SecondLooks:
        """Look at pairs of two datasets, or of one; they are known by their places.

        lower: they are, so that of each the one must be all of the other to be confirmed: what is
        no more alike may well be a picture within another picture.
        """
        places = np.argsort(keeper_P, kind="stable").tolist()
        groups = [
            (keeper, {place: int(copy_P[place]) for place in group})
            for keeper, group in groupby(places, key=lambda place: int(keeper_P[place]))
        ]
        sides = keepers, copies, lower
        found = on_all_cores(lambda group: _verdicts(*sides, *group), groups)
        verdicts: dict[int, str] = {}
        by_time: set[int] = set()
        with stage("second look", len(places)) as work:
            for (said, late), (_, looked_at) in zip(found, groups, strict=True):
                verdicts |= said
                by_time |= late
                work.add(len(looked_at))
        return cls(verdicts, by_time)

    @classmethod
    def at_pairs(
        cls,
        ours: DescriptorSet,
        theirs: DescriptorSet,
        pairs: Pairs,
        counting_P: NDArray[np.bool_],
        certain_P: NDArray[np.bool_],
        lower_P: NDArray[np.bool_],
        *,
        believed: bool,
        removing: bool,
    ) -> SecondLooks:
        """Look at pairs between two datasets, known by their places, of which one a row is enough.

        A row of ours is looked at beside the few that are most like it, and beside the others,
        however many, only until one is a confirmed copy. Of lower pairs the few are looked at of a
        row that has no copy else, if the threshold says something here.

        Args: counting_P: the pairs that count. certain_P: which of them do whatever their pixels
            say. lower_P: those that are copies only if they are confirmed. removing: see above.
        """

        def look(places: Indices, *, lower: bool = False) -> dict[int, str]:
            some = pairs.chosen(places)
            sides = theirs, some.right, ours, some.left
            said = cls.between(*sides, lower=lower).verdicts
            return {int(places[at]): verdict for at, verdict in said.items()}

        has_copy = np.zeros(len(ours), np.bool_)
        has_copy[pairs.left[counting_P & certain_P]] = True
        places, rank = pairs.ranked(np.flatnonzero(counting_P & ~certain_P))
        verdicts: dict[int, str] = {}
        begin, end = 0, _FEW
        while (chosen := places[(rank >= begin) & (rank < end)]).size:
            chosen = chosen if not begin else chosen[~has_copy[pairs.left[chosen]]]
            said = look(chosen)
            verdicts |= said
            open_ = [place for place, verdict in said.items() if verdict != CONFIRMED]
            has_copy[pairs.left[np.setdiff1d(chosen, open_)]] = True
            begin, end = end, 2 * end
        looks = cls(verdicts, believed=believed, removing=removing, image_of=pairs.left)
        if looks.threshold_says_little:
            return looks
        has_copy[pairs.left[np.setdiff1d(np.flatnonzero(counting_P), looks.in_doubt)]] = True
        places, rank = pairs.ranked(np.flatnonzero(lower_P & ~has_copy[pairs.left]))
        said = look(places[rank < _FEW], lower=True)
        return replace(looks, verdicts=verdicts | said, lower=said.keys())

    @cached_property
    def said(self) -> Mapping[int, str]:
        """The verdicts on what stays beside its keeper, or goes for it."""
        return {row: said for row, said in self.verdicts.items() if row not in self.gone}

    def count(self, verdict: str) -> int:
        """How many images have a verdict."""
        return sum(said == verdict for said in self.said.values())

    @cached_property
    def threshold_says_little(self) -> bool:
        """Whether many other shots pass it here, or pixels confirm few of the pairs that do."""
        return not self.believed and (self.shots_abound or (self.removing and self._confirms_few))

    @property
    def shots_abound(self) -> bool:
        """Whether many other shots are above the threshold."""
        return len(self._above(OTHER_SHOT)) * _COPIES_A_SHOT > len(self._above(CONFIRMED))

    @property
    def _confirms_few(self) -> bool:
        copies, untold = map(self._images, (self._above(CONFIRMED), self._above(CANNOT_TELL)))
        count = len(untold - copies)
        return count >= _UNTOLD and count > _UNTOLD_A_COPY * len(copies)

    def _images(self, rows: Indices) -> set[int]:
        return set((rows if self.image_of is None else self.image_of[rows]).tolist())

    def _above(self, verdict: str) -> Indices:
        return self._rows(lambda row, said: said == verdict and row not in self.lower)

    @property
    def shots(self) -> Indices:
        """Which are other shots of their keepers, and not lower."""
        return self._above(OTHER_SHOT)

    @property
    def may_be_shots(self) -> Indices:
        """Which might go, if the threshold said more here."""
        if not self.threshold_says_little:
            return np.zeros(0, np.int64)
        return np.setdiff1d(self._above(CANNOT_TELL), list(self.gone))

    @property
    def open(self) -> Indices:
        """Which are too little alike to be copies, unless their pixels say more than they do."""
        return self._rows(lambda row, said: said == CANNOT_TELL and row in self.lower)

    @property
    def in_doubt(self) -> Indices:
        """Which are to be looked at: this is the one rule of what a second look lets go.

        A pair is a copy unless it is another shot, or, where the threshold says little, may be
        one; a lower pair only if it is confirmed.
        """
        lower = self._rows(lambda row, said: said != CONFIRMED and row in self.lower)
        return np.concatenate([self.shots, self.may_be_shots, lower])

    def _rows(self, fits: Callable[[int, str], bool]) -> Indices:
        return np.array([row for row, said in self.verdicts.items() if fits(row, said)], np.int64)

    def spared(self, found: Clusters) -> Clusters:
        """Let what is in doubt stay beside its keepers."""
        return found.with_look_at(self.in_doubt)


def _lower(found: Clusters, doubts: Doubts) -> NDArray[np.bool_]:
    return found.look_at & (found.similarity < np.float32(doubts.threshold))


def _pairs(one: Indices, other: Indices) -> list[frozenset[int]]:
    return [frozenset(pair) for pair in zip(one.tolist(), other.tolist(), strict=True)]


def _most_alike(rows: Indices, copies: Copies, threshold: float) -> tuple[Indices, Indices]:
    """Return each pair of some rows in which either has no partner more like it among them."""
    row_of = np.full(int(copies.group.max(initial=-1)) + 1, -1)
    row_of[copies.group[rows]] = rows
    left, right = row_of[copies.pairs.left], row_of[copies.pairs.right]
    among = (left >= 0) & (right >= 0) & (copies.pairs.similarity >= np.float32(threshold))
    left, right = left[among], right[among]
    order = np.argsort(-copies.pairs.similarity[among], kind="stable")
    _, first = np.unique(np.stack([left[order], right[order]], axis=1), return_index=True)
    best = np.unique(order[first // 2])
    return left[best], right[best]


def _verdicts(
    keepers: DescriptorSet,
    copies: DescriptorSet,
    lower: bool,
    keeper: int,
    rows: Mapping[int, int],
) -> tuple[dict[int, str], set[int]]:
    """Look at a keeper and its copies, one after the other. rows: of the copies, by their places.

    Returns: verdicts, and the places of those that only the time tells. An image that is not here,
        or cannot be read, has none.
    """
    original = picture_of(keepers, keeper)
    verdicts: dict[int, str] = {}
    by_time: set[int] = set()
    if original is None:
        return verdicts, by_time
    kept = small(original.image)
    for place, row in rows.items():
        picture = picture_of(copies, row)
        if picture is None:
            continue
        verdicts[place] = second_look(kept, small(picture.image), wholly=lower)
        if verdicts[place] == CANNOT_TELL and _at_other_times(original.taken, picture.taken):
            verdicts[place] = OTHER_SHOT
            by_time.add(place)
    return verdicts, by_time


def _at_other_times(one: datetime | None, other: datetime | None) -> bool:
    """Whether two pictures were taken at different times; whole hours are a clock put right."""
    if one is None or other is None or one == other:
        return False
    return bool(abs(one - other) % _HOUR)
