"""Which images of a report go once what people decided of their contents is heeded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from sscd_cli.decisions.heirs import decided_among
from sscd_cli.decisions.records import Decisions
from sscd_cli.reports.removals import Removal, Removals
from sscd_cli.reports.reported import Decided, Key, ReportedImage


@dataclass(frozen=True)
class Choice:
    """removals: what goes for what. spared: how many stay that the report calls removable."""

    removals: list[Removal]
    spared: int


def choose(report: Removals, decisions: Decisions) -> Choice:
    """Let decisions on pairs of contents come before what the report says.

    An image goes for another of the report if a person said that they are the same and that the
    other stays; it does not go for one that a person said is another picture, or beside which it
    shall stay; and what a person chose to stay goes for nothing.
    """
    if not decisions.verdicts:
        return Choice(list(report.removals.values()), 0)
    everyone = _everyone(report)
    kept_first = sorted(everyone.values(), key=lambda image: not image.keep)
    decided = decided_among(decisions, (image.hashes for image in kept_first))
    theirs = report.keepers.keys() if report.header.get("report") == "matches" else set()
    chosen = {keeper for verdict, keeper in decided.values() if verdict == "same"}
    stays_for = _losers(decided)
    by_hash: defaultdict[str, list[ReportedImage]] = defaultdict(list)
    for image in everyone.values():
        by_hash[image.content_hash].append(image)
    removals, spared = [], 0
    for key, image in everyone.items():
        if key in theirs:  # of the other dataset nothing goes, whatever was decided
            continue
        reported = report.removals.get(key)
        better = [hash for hash in stays_for.get(image.content_hash, ()) if hash in by_hash]
        if better:
            known = reported or report.doubtful.get(key)
            removals.append(_for(image, by_hash[better[0]][0], known))
        elif reported is not None and not _may_go(reported, decided, chosen):
            spared += 1
        elif reported is not None:
            removals.append(reported)
    return Choice(removals, spared)


def _everyone(report: Removals) -> Mapping[Key, ReportedImage]:
    named = chain(report.removals.values(), report.doubtful.values())
    images = (removal.image for removal in named)
    return {image.key: image for image in chain(images, report.keepers.values())}


def _losers(decided: Decided) -> Mapping[str, list[str]]:
    """Return, by the content that goes, the contents that stay for it."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for (left, right), (verdict, keeper) in decided.items():
        if verdict == "same" and left != right:
            found[left if keeper == right else right].append(keeper)
    return found


def _for(image: ReportedImage, keeper: ReportedImage, known: Removal | None) -> Removal:
    """Return the removal that was decided, with what the report says of that very pair."""
    if known is not None and known.keeper.content_hash == keeper.content_hash:
        return known
    return Removal(replace(image, band="decided", reason=""), keeper)


def _may_go(removal: Removal, decided: Decided, chosen: set[str]) -> bool:
    image, keeper = removal.image.content_hash, removal.keeper.content_hash
    verdict, _ = decided.get((min(image, keeper), max(image, keeper)), ("same", ""))
    return verdict == "same" and (image not in chosen or image == keeper)


def beside(header: Mapping[str, Any]) -> Path:
    """Return where the decisions on a report lie: with the descriptors, or here without these."""
    dataset = Path(str(header["dataset"]))
    return (dataset if dataset.is_dir() else Path()) / "decisions.jsonl"
