"""How the tool calls itself, how it writes numbers and sizes, and how it reads JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

VERSION = "0.1.0"
FOOTER_KEY = b"sscd"  # of what a shard of descriptors says of itself
TOOL = {"tool": "sscd", "version": VERSION}  # with which a record of ours begins


def counted(number: int, things: str) -> str:
    """Return a number with its things, such as "1,200 images", of which one is no plural."""
    if number != 1:
        return f"{number:,} {things}"
    return f"1 {' or '.join(map(_single, things.split(' or ')))}"


def _single(things: str) -> str:
    for plural, single in (("ies", "y"), ("ches", "ch"), ("s", "")):
        if things.endswith(plural):
            return things.removesuffix(plural) + single
    return things


def bytes_text(count: int) -> str:
    """Return a size for people: "12 B", "3.4 kB", "56 MB"."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.1f} {unit}" if unit != "B" and size < 9.95 else f"{size:.0f} {unit}"


def from_json(text: str | bytes, *, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """Return what JSON says. Raises: ValueError: it is none, or nested deeper than Python reads."""
    import json

    try:
        return json.loads(text, parse_constant=parse_constant)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None
