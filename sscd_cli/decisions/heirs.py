"""What was decided of a picture holds for the same picture saved again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import product

from sscd_cli.decisions.records import Decisions
from sscd_cli.reports.reported import Decided, Hashes


def decided_among(decisions: Decisions, images: Iterable[Hashes]) -> Decided:
    """Return what was decided of pairs of contents, and what images inherit that show the same.

    What was decided of the very bytes comes first, and then what was decided last. For one that
    stays and is no longer there, the first of the images with its pixels stays.
    """
    if not decisions.pixels:
        return decisions.verdicts
    shown = set(decisions.pixels.values())
    there, alike = set(), defaultdict(list)
    for content, pixels in images:
        if content in decisions.pixels:
            there.add(content)
        if pixels in shown:
            alike[pixels].append(content)

    def heirs(content: str, keeper: str) -> list[str]:
        found = alike.get(decisions.pixels.get(content, ""), [content])
        if content != keeper:
            return found
        return [content] if content in there else found[:1]

    inherited = {}
    for pair, (verdict, keeper) in decisions.verdicts.items():
        if decisions.pictures(pair) == pair:  # without pixels that tell the two apart
            continue
        left, right = pair
        for one, other in product(heirs(left, keeper), heirs(right, keeper)):
            stays = {left: one, right: other, "": ""}[keeper]
            inherited[min(one, other), max(one, other)] = verdict, stays
    return inherited | decisions.verdicts
