"""Which images of a cluster are edited copies of others in it, told from their pixels.

What is read is what lies on this machine. For what cannot be read, and where both show the same
and pixels do not tell, the facts in the dataset decide. Where they do not show the same and
nothing tells which is the original, both stay: the one is to be looked at.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.advice.pictures import picture_of
from sscd_cli.advice.pixels.originals import Look, Origin, compare
from sscd_cli.descriptors.read import DescriptorSet
from sscd_cli.machines.forks import on_all_cores
from sscd_cli.machines.stages import each
from sscd_cli.matching.copies import Clusters
from sscd_cli.matching.keepers import deciding_word, keep_order
from sscd_cli.matching.products import Indices

# why one stays by the words of --keep
_FACTS = {
    "preferred": "not in --keep-path",
    "original": "made from another copy",
    "resolution": "fewer pixels",
    "bytes": "fewer bytes",
    "format": "in a format that loses more",
    "source": "in a source named later",
    "oldest": "written later",
    "newest": "written earlier",
    "path": "later in the order of paths",
    "first": "later in the dataset",
}
UNTOLD = "nothing tells which is the original"
MOST = 12  # images that are compared with each other; of more the best by facts


@dataclass(frozen=True)
class Policy:
    """Words of --keep, globs of --keep-path, and the sources in the order they are named."""

    keep: tuple[str, ...]
    paths: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(eq=False)
class Originals:
    """What was found out so far of the images of a dataset, and which of them stay for it.

    beaten: bool (N,), those that are edited copies of another one, unless it goes round in a circle
    from one to the next. reasons: by original and copy, what the copy is of it, "" where pixels do
    not tell; in both orders `UNTOLD` of two that do not show the same, so that one is edited, but
    nothing tells which.
    """

    stored: DescriptorSet
    policy: Policy
    beaten: NDArray[np.bool_]
    reasons: dict[tuple[int, int], str] = field(default_factory=dict)
    _compared: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    _source_order: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, stored: DescriptorSet, policy: Policy) -> Originals:
        return cls(stored, policy, np.zeros(len(stored), np.bool_))

    def judge(self, found: Clusters, order_N: Indices, shots_M: Indices, open_M: Indices) -> bool:
        """Compare what is in one cluster; say whether anything new was found out.

        shots_M: rows that are other shots of their keepers, and no copies of what is with these.
        open_M: rows that stay, but may be copies of their keepers, or these of them.
        """
        asked = found.removable
        asked[open_M] = True
        groups = [
            rows
            for rows in _groups(found, order_N, shots_M, asked)
            if next(self._to_compare(found, rows, self._beaten_of(rows)), None)
        ]
        found_out = on_all_cores(lambda rows: self._judged(found, rows), groups)
        for judged in each(found_out, "telling originals from copies", len(groups)):
            for pair, origin in judged.items():
                self._note(pair, origin)
            for row in {row for pair in judged for row in pair}:
                self.beaten[row] = self._is_beaten(row)
        return bool(groups)

    def _note(self, pair: tuple[int, int], origin: Origin | None) -> None:
        for one, other in (pair, pair[::-1]):
            self._compared[one].add(other)
        if origin is None or origin.original is None:
            self.reasons[pair] = self.reasons[pair[::-1]] = "" if origin is None else UNTOLD
            return
        original, copy = pair[origin.original], pair[1 - origin.original]
        self.reasons[original, copy] = origin.reason

    def _is_beaten(self, row: int) -> bool:
        """Say whether an image is a copy of one that is not, by way of others, a copy of it."""
        return any(
            self._beats(other, row) and not self._leads(row, other) for other in self._compared[row]
        )

    def _beats(self, original: int, copy: int) -> bool:
        return self.reasons.get((original, copy), "") not in {"", UNTOLD}

    def _leads(self, start: int, end: int) -> bool:
        """Say whether copies of copies, or of what shows the same, lead from one to the other."""
        seen, todo = {start}, [start]
        while todo:
            row = todo.pop()
            for other in self._compared[row] - seen:
                if self._beats(row, other) or self.reasons.get((row, other)) == "":
                    seen.add(other)
                    todo.append(other)
        return end in seen

    def reason(self, keeper: int, copy: int) -> str:
        """Return why one stays for the other, as far as pixels tell."""
        if self._is_untold(keeper, copy):
            return UNTOLD
        told = self._beats(keeper, copy)
        return self.reasons[keeper, copy] if told else self._fact(keeper, copy)

    def spared(self, found: Clusters) -> Clusters:
        """Let stay, to be looked at, what may well be the original of its keeper."""
        untold = {
            copy
            for pair in self.reasons
            for keeper, copy in (pair, pair[::-1])
            if found.keeper[copy] == keeper and self._is_untold(keeper, copy)
        }
        return found.with_look_at(np.array(sorted(untold), np.int64))

    def _is_untold(self, keeper: int, copy: int) -> bool:
        """Say whether nothing tells which is the original, and no word before that decides.

        Nothing does, either, where a keeper is the copy, by itself, of what would go for it.
        """
        is_open = self.reasons.get((keeper, copy)) == UNTOLD and not self.beaten[copy]
        if not is_open and not self._beats(copy, keeper):
            return False
        words = (*self.policy.keep, "original")
        word = deciding_word(words, self.table([keeper, copy]))
        return word != "preferred" and word not in words[: words.index("original")]

    def _fact(self, keeper: int, copy: int) -> str:
        columns = self.stored.columns
        if (columns["content_hash"][keeper] == columns["content_hash"][copy]).all():
            return "the same bytes"
        return _FACTS[deciding_word(self.policy.keep, self.table([keeper, copy]))]

    def order(self, rows_N: NDArray[np.bool_]) -> Indices:
        """Return the rank among the rows of a mask of each of them, and 0 for the others."""
        order = np.zeros(len(rows_N), np.int64)
        order[rows_N] = keep_order(self.policy.keep, self.table(np.flatnonzero(rows_N).tolist()))
        return order

    def table(self, rows: list[int]) -> dict[str, NDArray[Any]]:
        """Return of some rows what decides which of them stays (see `matching.keepers`)."""
        stored = self.stored
        table = {name: values[rows] for name, values in stored.columns.items()}
        table["edited"] = self.beaten[rows]
        table["id"] = np.array([stored.ids[row] for row in rows], object)
        table["source"] = np.array([stored.sources[row] for row in rows], object)
        table["named"] = np.array([self._named_at(name) for name in table["source"]], np.int64)
        if self.policy.paths:
            paths = (stored.path(row) for row in rows)
            preferred = (any(fnmatch(path, glob) for glob in self.policy.paths) for path in paths)
            table["preferred"] = np.fromiter(preferred, np.bool_, len(rows))
        return table

    def _named_at(self, source: str) -> int:
        """Return which source it is, in the order of their names or else of the dataset."""
        if not self._source_order:
            self._source_order.update(
                (os.path.abspath(name), at)  # noqa: PTH100
                for at, name in enumerate(self.policy.sources)
            )
        return self._source_order.setdefault(source, len(self._source_order))

    def _beaten_of(self, rows: list[int]) -> set[int]:
        return {row for row in rows if self.beaten[row]}

    def _to_compare(
        self, found: Clusters, rows: list[int], beaten: set[int]
    ) -> Iterator[tuple[int, int]]:
        """Yield the pairs still to be compared; `beaten` may grow meanwhile.

        Two that are both copies of others need not be, unless one stays for the other.
        """
        for one, other in combinations(rows, 2):
            is_told = (one, other) in self.reasons or (other, one) in self.reasons
            is_kept = found.keeper[other] == one or found.keeper[one] == other
            if not is_told and (is_kept or not {one, other} <= beaten):
                yield one, other

    def _judged(self, found: Clusters, rows: list[int]) -> dict[tuple[int, int], Origin | None]:
        look, beaten = lru_cache(MOST)(self._look), self._beaten_of(rows)
        judged: dict[tuple[int, int], Origin | None] = {}
        for pair in self._to_compare(found, rows, beaten):
            one, other = map(look, pair)
            origin = judged[pair] = compare(one, other) if one and other else None
            if origin is not None and origin.original is not None:
                beaten.add(pair[1 - origin.original])
        return judged

    def _look(self, row: int) -> Look | None:
        """Look at one image; None where it is not here, or cannot be read."""
        picture = picture_of(self.stored, row)
        if picture is None:
            return None
        return Look.of(picture.image, picture.coding, picture.format)


def _groups(
    found: Clusters, order_N: Indices, shots_M: Indices, asked_N: NDArray[np.bool_]
) -> Iterator[list[int]]:
    """Yield the rows that are compared with each other, the best by order first, `MOST` at most.

    Those are all of a cluster in which some row is asked about, without other shots; of a larger
    one each keeper and its copies.
    """
    compared = np.isin(found.component, found.component[asked_N]) & found.clustered
    compared[shots_M] = False
    rows = np.flatnonzero(compared)
    _, cluster, size = np.unique(found.component[rows], return_inverse=True, return_counts=True)
    small = size[cluster] <= MOST
    lead = np.where(small, found.component[rows], found.keeper[rows])
    order = np.lexsort((order_N[rows], lead, small))
    starts = np.flatnonzero(np.diff(lead[order], prepend=-1) | np.diff(small[order], prepend=False))
    for group in np.split(rows[order], starts[1:]) if len(rows) else []:
        if asked_N[group].any():
            yield group[:MOST].tolist()
