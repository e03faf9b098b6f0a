"""Which of the images that may go are other shots of what would stay, told from their pixels."""

from __future__ import annotations

from collections.abc import Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from sscd_cli.advice.pictures import picture_of, taken_at
from sscd_cli.machines.hardware import core_count
from sscd_cli.machines.stages import stage

if TYPE_CHECKING:
    from sscd_cli.descriptors.read import DescriptorSet
    from sscd_cli.matching.copies import Clusters
    from sscd_cli.matching.products import Indices

OTHER_SHOT, CANNOT_TELL = "other shot", "cannot tell"


@dataclass(frozen=True)
class SecondLooks:
    """verdicts: by row, of the images that were looked at again beside their keepers. by_time:
    the other shots among them that only the time of their taking tells.
    """

    verdicts: Mapping[int, str] = field(default_factory=dict)
    by_time: Set[int] = frozenset()

    @classmethod
    def of(cls, stored: DescriptorSet, found: Clusters, exact_N: Indices) -> SecondLooks:
        """Look at each removable image and its keeper, unless they are exact copies.

        Where pixels cannot tell, files that say when they were taken do: no edit changes that. An
        image that is not here, or cannot be read, has no verdict.
        """
        rows = np.flatnonzero(found.removable & (exact_N != exact_N[found.keeper]))
        rows = rows[np.argsort(found.keeper[rows], kind="stable")].tolist()
        groups = [
            (keeper, list(copies))
            for keeper, copies in groupby(rows, key=lambda row: int(found.keeper[row]))
        ]
        with ThreadPoolExecutor(core_count()) as pool:
            found_out = pool.map(lambda group: _verdicts(stored, *group), groups)
            verdicts: dict[int, str] = {}
            with stage("second look", len(rows)) as work:
                for some, (_, copies) in zip(found_out, groups, strict=True):
                    verdicts |= some
                    work.add(len(copies))
        unclear = [row for row, verdict in verdicts.items() if verdict == CANNOT_TELL]
        by_time = {row for row in unclear if _at_other_times(stored, int(found.keeper[row]), row)}
        return cls(verdicts | dict.fromkeys(by_time, OTHER_SHOT), by_time)

    def count(self, verdict: str) -> int:
        """How many images have a verdict."""
        return sum(said == verdict for said in self.verdicts.values())

    def spared(self, found: Clusters) -> Clusters:
        """Let the other shots stay beside their keepers, to be looked at."""
        others = [row for row, verdict in self.verdicts.items() if verdict == OTHER_SHOT]
        look_at = found.look_at.copy()
        look_at[np.array(others, np.int64)] = True
        return replace(found, look_at=look_at)


def _at_other_times(stored: DescriptorSet, keeper: int, row: int) -> bool:
    from sscd_cli.images.capture import at_other_times

    return at_other_times(taken_at(stored, keeper), taken_at(stored, row))


def _verdicts(stored: DescriptorSet, keeper: int, copies: list[int]) -> dict[int, str]:
    """Look at a keeper and its copies, one after the other."""
    from sscd_cli.second_look.verdict import second_look, small

    original = picture_of(stored, keeper)
    if original is None:
        return {}
    kept = small(original)
    verdicts: dict[int, str] = {}
    for row in copies:
        picture = picture_of(stored, row)
        if picture is not None:
            verdicts[row] = second_look(kept, small(picture))
    return verdicts
