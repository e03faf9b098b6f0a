"""What people decided, remembered by content: `decisions.jsonl`, one line a decision.

    {"left": HASH, "right": HASH, "verdict": "same", "keeper": HASH, "similarity": 0.93,
     "model": NAME, "who": NAME, "when": "2026-01-31T12:00:00Z", "note": TEXT}

left and right are the sorted content hashes of a pair, "left_pixels" and "right_pixels" those of
their pixels ("" unknown), by which the same picture saved again is known; older files lack them.
Lines are only ever added, and the last one of a pair holds, so that files can be merged line by
line; "revoked" takes back what was said. keeper is the one that stays of a pair that is the same
image, else null.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from sscd_cli.errors import SscdError
from sscd_cli.text import from_json

VERDICTS = ("same", "keep_both", "not_duplicate", "other_shot", "revoked")
HASH = re.compile("[0-9a-f]{32}")
Pair = tuple[str, str]
_MARKS = (b"<<<<<<< ", b"||||||| ", b"=======", b">>>>>>> ")


@dataclass(frozen=True)
class Decisions:
    """What holds of pairs of contents, which are named by their sorted hashes.

    verdicts: what was decided of each pair, and what stays ("" if both do). pixels: the hashes of
    the pixels of contents, as far as they are known.
    """

    verdicts: dict[Pair, tuple[str, str]] = field(default_factory=dict)
    pixels: dict[str, str] = field(default_factory=dict)

    @property
    def rejected(self) -> set[Pair]:
        """Return the pairs of which neither goes for the other."""
        return {pair for pair, (verdict, _) in self.verdicts.items() if verdict != "same"}

    def pictures(self, pair: Pair) -> Pair:
        """Return what a pair of contents shows, as far as that tells the two from each other."""
        left, right = sorted(self.pixels.get(content, content) for content in pair)
        return pair if left == right else (left, right)


def decisions_at(named: Path | None, usual: Path) -> Decisions:
    """Return what the file says that was named, or that lies where decisions usually do, if any.

    Raises: SscdError: a file was named that is not there: nothing must go for a slip of the pen;
        and as `read_decisions`.
    """
    if named is not None and not named.exists():
        raise SscdError(f"there is no file {named}", "check the path of --decisions")
    return read_decisions(named or usual)


def read_decisions(file: Path) -> Decisions:
    """Return what a file says; nothing was decided where there is none yet.

    Raises: SscdError: a line of it is no decision. OSError: it cannot be read.
    """
    found = Decisions()
    pairs_of: defaultdict[Pair, set[Pair]] = defaultdict(set)
    for record in read_records(file):
        pair = record["left"], record["right"]
        for content, side in zip(pair, ("left_pixels", "right_pixels"), strict=True):
            if record.get(side):
                found.pixels[content] = record[side]
        found.verdicts.pop(pair, None)
        pictures = found.pictures(pair)
        if record["verdict"] != "revoked":
            found.verdicts[pair] = record["verdict"], record["keeper"] or ""
            pairs_of[pictures].add(pair)
            continue
        for alike in pairs_of.pop(pictures, ()):  # what it inherits is taken back, too
            found.verdicts.pop(alike, None)
    return found


def read_records(file: Path) -> list[dict[str, Any]]:
    """Return all decisions of a file, in its order; none where there is no file yet.

    Raises: as `read_decisions`.
    """
    records: list[dict[str, Any]] = []
    if not file.exists():
        return records
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                decision = from_json(line)
                check_decision(decision)
            except (ValueError, KeyError, TypeError) as error:
                why, hint = _unlike_a_decision(line, error)
                raise SscdError(f"line {number} of {file} is {why}", hint) from None
            records.append(decision)
    return records


def _unlike_a_decision(line: bytes, error: Exception) -> tuple[str, str]:
    """Return what is wrong with a line, and what to do."""
    if line.startswith(_MARKS):
        return "a conflict mark of git", "remove the marks and keep the lines of both sides"
    is_ours = type(error) is ValueError
    why = f"it lacks {error}" if isinstance(error, KeyError) else "it is no JSON object"
    return f"no decision: {error if is_ours else why}", "mend or remove that line"


def append_decisions(file: Path, decisions: Sequence[Any]) -> None:
    """Add decisions to a file; they are on the disk when this returns.

    Raises: ValueError, KeyError, TypeError: one is none; then none is written. OSError.
    """
    for decision in decisions:
        check_decision(decision)
    lines = "".join(json.dumps(decision) + "\n" for decision in decisions)
    with file.open("a+b") as stream:
        if stream.tell() and not _ends_a_line(stream):
            stream.write(b"\n")
        stream.write(lines.encode())
        stream.flush()
        os.fsync(stream.fileno())


def _ends_a_line(stream: BinaryIO) -> bool:
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) == b"\n"


def check_decision(decision: Any) -> None:
    """Raise ValueError, KeyError or TypeError for what is no decision on two contents."""
    left, right, keeper = decision["left"], decision["right"], decision["keeper"]
    if not (HASH.fullmatch(left) and HASH.fullmatch(right) and left <= right):
        raise ValueError("left and right are no sorted content hashes")
    for name in ("left_pixels", "right_pixels"):
        if decision.get(name) and not HASH.fullmatch(decision[name]):
            raise ValueError(f"{name} is {decision[name]!r}")
    verdict = decision["verdict"]
    if verdict not in VERDICTS:
        raise ValueError(f"verdict is {verdict!r}")
    if keeper not in ((left, right) if verdict == "same" else (None,)):
        raise ValueError(f"keeper is {keeper!r}")
