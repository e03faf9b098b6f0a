"""Which column of a table holds the images, and which one their keys."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from sscd_cli.errors import UsageError

CHOSEN = re.compile(
    r"(.+\.(?:parquet|pq|arrow|csv|tsv|jsonl|ndjson))#((?:image|id)=[^#]*)",
    re.IGNORECASE | re.DOTALL,
)
USUAL = ("image", "file_name", "img", "jpg", "path", "file", "filename", "url")


class Columns(NamedTuple):
    """The columns that were chosen; "" finds the images, and takes the row number for the key."""

    image: str = ""
    id: str = ""


FOUND = Columns()


def split_columns(source: str) -> tuple[str, Columns]:
    """Split `rows.parquet#image=photo&id=key` into the file and the columns chosen in it."""
    match = CHOSEN.fullmatch(source)
    if match is None:
        return source, Columns()
    chosen = dict(parse_qsl(match[2], errors="surrogateescape"))
    return match[1], Columns(chosen.get("image", ""), chosen.get("id", ""))


def join_columns(path: str, columns: Columns) -> str:
    """Return the source that `split_columns` splits."""
    chosen = {word: column for word, column in columns._asdict().items() if column}
    return f"{path}#{urlencode(chosen, errors='surrogateescape')}" if chosen else path


def image_column(path: str, chosen: str, found: Sequence[str], others: Sequence[str]) -> str:
    """Return the chosen column, or the only one that holds images, or the one usually named so.

    Args: found: the columns that hold images. others: those that do not.
    Raises: UsageError: no such column, or none or several that hold images; names the columns.
    """
    if chosen in found or (len(found) == 1 and not chosen):
        return chosen or found[0]
    usual = [name for name in USUAL if name in found]
    if usual and not chosen:
        return usual[0]
    if chosen in others:
        what = f"column {chosen} of {path} holds no images"
    elif chosen:
        what = f"{path} has no column {chosen}"
    else:
        what = f"{path} has {'several columns' if found else 'no column'} with images"
    named = ", ".join(found or others) or "none"
    raise UsageError(what, f"choose one with --image-column ({named})")
