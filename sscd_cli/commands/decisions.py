"""`sscd decisions`: what was decided is listed, taken back, or joined with what others decided."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sscd_cli.decisions.records import HASH, append_decisions, read_decisions, read_records
from sscd_cli.errors import SscdError, UsageError, reason_of
from sscd_cli.images.decode import Decoded, decode
from sscd_cli.images.read import content_hash
from sscd_cli.images.status import stored_ref
from sscd_cli.options.decisions import ListDecisionsOptions, MergeOptions, RevokeOptions

Decision = Mapping[str, Any]


@dataclass(frozen=True)
class MergeResult:
    """added: how many lines were added. holding: how many pairs have a decision now."""

    added: int
    holding: int


def list_records(options: ListDecisionsOptions | RevokeOptions) -> list[Decision]:
    """Return the last decision on each pair, without those that were taken back.

    Raises: UsageError: there is no such file, or a line of it is no decision.
    """
    _refuse_missing(options.decisions, "name what sscd review wrote with --decisions")
    last = _last_of(read_records(options.decisions))
    holding = read_decisions(options.decisions).verdicts
    return [record for pair, record in last.items() if pair in holding]


def revoke(options: RevokeOptions) -> Decision:
    """Take back what was decided of two images, or of two that show the same, and return it.

    Raises: UsageError: nothing was, or an image cannot be read.
    """
    last = _decision_on((options.left, options.right), list_records(options))
    if last is None:
        what = f"nothing was decided of {options.left} and {options.right}"
        raise UsageError(what, "sscd decisions list shows what was")
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    revoked = {"verdict": "revoked", "keeper": None}
    by = {"who": options.who, "when": when, "note": options.note}
    append_decisions(options.decisions, [{**last, **revoked, **by}])
    return last


def merge(options: MergeOptions) -> MergeResult:
    """Add what other files decided later, or of other pairs; of equal times the last file's holds.

    Raises: UsageError: a file is missing, or a line is no decision.
    """
    for file in options.files:
        _refuse_missing(file, "check the path")
    ours = _last_of(read_records(options.decisions))
    every = [*ours.values(), *(r for file in options.files for r in read_records(file))]
    last = _last_of(sorted(every, key=lambda record: str(record.get("when") or "")))
    new = [record for pair, record in last.items() if ours.get(pair) != record]
    if new:
        append_decisions(options.decisions, new)
    return MergeResult(len(new), len(read_decisions(options.decisions).verdicts))


def _last_of(records: Iterable[Decision]) -> dict[tuple[str, str], Decision]:
    return {(record["left"], record["right"]): record for record in records}


def _refuse_missing(file: Path, hint: str) -> None:
    if not file.exists():
        raise SscdError(f"there is no file {file}", hint)


def _decision_on(images: tuple[str, str], records: Sequence[Decision]) -> Decision | None:
    """Return what holds of the contents of two images, else of their pixels, if anything does."""
    contents = sorted(map(_hash_of, images))
    for record in records:
        if [record["left"], record["right"]] == contents:
            return record
    known: dict[str, str] = {}
    for record in records:
        for side in ("left", "right"):
            known[record[side]] = record.get(f"{side}_pixels") or ""
    one, other = sorted(known.get(_hash_of(image)) or _pixels_of(image) for image in images)
    if not one or one == other:
        return None
    shown = {one, other}
    return next((r for r in records if {known[r["left"]], known[r["right"]]} == shown), None)


def _pixels_of(image: str) -> str:
    """Return the hash of an image's pixels, hexadecimal; "" where there is none."""
    found = decode(stored_ref("", os.path.abspath(image)))  # noqa: PTH100
    return found.pixel_hash.hex() if isinstance(found, Decoded) and found.pixel_hash else ""


def _hash_of(image: str) -> str:
    if HASH.fullmatch(image) and not os.path.exists(image):  # noqa: PTH110
        return image
    try:
        return content_hash(image)
    except OSError as error:
        what = f"cannot read {image}: {reason_of(error)}"
        raise UsageError(what, "name an image file, or its content hash") from None
