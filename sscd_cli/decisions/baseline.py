"""Leaks that are known already: a file of pairs of contents, which a gate passes over.

    {"tool": "sscd", "version": "0.1.0", "baseline": [
    ["HASH", "HASH"],
    ["HASH", "HASH", "PIXELS", "PIXELS"]
    ]}

The two content hashes of a pair are sorted, and so are the pairs: a file goes into git, and a
change of it is a line a pair. The sorted hashes of their pixels stand behind where both are known,
so that files encoded anew without loss are known, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sscd_cli.decisions.records import HASH, Pair
from sscd_cli.errors import SscdError, reason_of
from sscd_cli.storage.files import output_file
from sscd_cli.text import TOOL, from_json


@dataclass(frozen=True, order=True, slots=True)
class KnownLeak:
    """The sorted hashes of two contents, and of their pixels: () where one is not known."""

    contents: Pair
    pixels: tuple[str, ...] = ()


def read_baseline(file: Path) -> set[KnownLeak]:
    """Return the pairs of a baseline. Raises: SscdError: it is none, or cannot be read."""
    try:
        pairs = from_json(file.read_bytes())["baseline"]
        if not all(HASH.fullmatch(hash) for pair in pairs for hash in pair):
            raise ValueError("a pair of it is no pair of content hashes")
        return {_known(*pair) for pair in pairs}
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = "it holds no baseline" if isinstance(error, KeyError) else reason_of(error)
        what = f"cannot read the baseline {file}: {reason}"
        raise SscdError(what, "name a file of --write-baseline") from None


def _known(left: str, right: str, *pixels: str) -> KnownLeak:
    if not pixels:
        return KnownLeak((left, right))
    low, high = pixels
    return KnownLeak((left, right), (low, high))


def write_baseline(file: Path, pairs: Iterable[KnownLeak]) -> None:
    """Write pairs as a file that is complete or absent. Raises: SscdError: it cannot be."""
    lines = ",\n".join(json.dumps((*pair.contents, *pair.pixels)) for pair in sorted(set(pairs)))
    start = json.dumps({**TOOL, "baseline": []})
    with output_file(file, "name another file with --write-baseline") as stream:
        stream.write(f"{start.removesuffix(']}')}\n{lines}\n]}}\n".encode())
