"""`sscd decisions`: what was decided is listed, taken back, or joined with what others decided."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sscd_cli.decisions.records import HASH, append_decisions, read_records
from sscd_cli.errors import SscdError, UsageError, reason_of
from sscd_cli.images.decode import content_hash
from sscd_cli.options.decisions import ListDecisionsOptions, MergeOptions, RevokeOptions

Decision = Mapping[str, Any]


@dataclass(frozen=True)
class MergeResult:
    """added: how many lines were added. holding: how many pairs have a decision now."""

    added: int
    holding: int


def list_records(options: ListDecisionsOptions) -> list[Decision]:
    """Return the last decision on each pair, without those that were taken back.

    Raises: UsageError: there is no such file, or a line of it is no decision.
    """
    _refuse_missing(options.decisions)
    last = _last_of(read_records(options.decisions))
    return [record for record in last.values() if record["verdict"] != "revoked"]


def revoke(options: RevokeOptions) -> Decision:
    """Take back what was decided of two images, and return it.

    Raises: UsageError: nothing was, or an image cannot be read.
    """
    _refuse_missing(options.decisions)
    left, right = sorted(map(_hash_of, (options.left, options.right)))
    last = _last_of(read_records(options.decisions)).get((left, right))
    if last is None or last["verdict"] == "revoked":
        what = f"nothing was decided of {options.left} and {options.right}"
        raise UsageError(what, "sscd decisions list shows what was")
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    said = {"keeper": None, "who": options.who, "when": when, "note": options.note}
    append_decisions(options.decisions, [{**last, "verdict": "revoked", **said}])
    return last


def merge(options: MergeOptions) -> MergeResult:
    """Add what other files decided later, or of other pairs; of equal times the last file's holds.

    Raises: UsageError: a file is missing, or a line is no decision.
    """
    for file in options.files:
        _refuse_missing(file)
    ours = _last_of(read_records(options.decisions))
    every = [*ours.values(), *(r for file in options.files for r in read_records(file))]
    last = _last_of(sorted(every, key=lambda record: str(record.get("when") or "")))
    new = [record for pair, record in last.items() if ours.get(pair) != record]
    if new:
        append_decisions(options.decisions, new)
    holding = sum(record["verdict"] != "revoked" for record in last.values())
    return MergeResult(len(new), holding)


def _last_of(records: Iterable[Decision]) -> dict[tuple[str, str], Decision]:
    return {(record["left"], record["right"]): record for record in records}


def _refuse_missing(file: Path) -> None:
    if not file.exists():
        raise SscdError(f"there is no file {file}", "name one of sscd review")


def _hash_of(image: str) -> str:
    if HASH.fullmatch(image) and not os.path.exists(image):  # noqa: PTH110
        return image
    try:
        return content_hash(image)
    except OSError as error:
        what = f"cannot read {image}: {reason_of(error)}"
        raise UsageError(what, "name an image file, or its content hash") from None
