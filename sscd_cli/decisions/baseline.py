"""Leaks that are known already: a file of pairs of contents, which a gate passes over.

    {"tool": "sscd", "version": "0.1.0", "baseline": [
    ["HASH", "HASH"],
    ["HASH", "HASH"]
    ]}

The two content hashes of a pair are sorted, and so are the pairs: a file goes into git, and a
change of it is a line a pair.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from sscd_cli import __version__
from sscd_cli.decisions.records import HASH
from sscd_cli.errors import SscdError, UsageError, reason_of
from sscd_cli.storage.files import output_file

Pair = tuple[str, str]


def read_baseline(file: Path) -> set[Pair]:
    """Return the pairs of a baseline. Raises: UsageError: it is none, or cannot be read."""
    try:
        pairs = json.loads(file.read_bytes())["baseline"]
        found = {(left, right) for left, right in pairs}
        if not all(HASH.fullmatch(end) for pair in found for end in pair):
            raise ValueError("a pair of it is no pair of content hashes")
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = "it holds no baseline" if isinstance(error, KeyError) else reason_of(error)
        what = f"cannot read the baseline {file}: {reason}"
        raise UsageError(what, "name a file of --write-baseline") from None
    return found


def write_baseline(file: Path, pairs: Iterable[Pair]) -> None:
    """Write pairs as a file that is complete or absent. Raises: SscdError: it cannot be."""
    lines = ",\n".join(json.dumps(pair) for pair in sorted(set(pairs)))
    start = json.dumps({"tool": "sscd", "version": __version__, "baseline": []})
    try:
        with output_file(file) as stream:
            stream.write(f"{start.removesuffix(']}')}\n{lines}\n]}}\n".encode())
    except OSError as error:
        what = f"cannot write {file}: {reason_of(error)}"
        raise SscdError(what, "name another file with --write-baseline") from error
