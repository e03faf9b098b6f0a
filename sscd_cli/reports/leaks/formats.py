"""Write what a gate found in any format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from sscd_cli.errors import SscdError
from sscd_cli.images.status import stored_ref
from sscd_cli.images.thumbnail import thumbnail
from sscd_cli.reports.leaks.document import document
from sscd_cli.reports.leaks.github import github
from sscd_cli.reports.leaks.junit import junit
from sscd_cli.reports.leaks.markdown import markdown
from sscd_cli.reports.leaks.record import GateReport
from sscd_cli.reports.leaks.sarif import sarif
from sscd_cli.reports.leaks.text import text

_SIDE = 160  # pixels of a small picture
_WRITERS: dict[str, Callable[[GateReport], Iterator[str]]] = {
    "text": text,
    "json": document,
    "junit": junit,
    "sarif": sarif,
    "markdown": markdown,
    "github": github,
}


def write_leaks(
    report: GateReport, format: str, stream: BinaryIO, pictures: Path | None = None
) -> None:
    """Write a report to a binary stream in one of `choices.LeakFormat`.

    pictures: a folder for small pictures, which Markdown shows by its last name.
    """
    pieces = (
        markdown(report, partial(_shown, pictures))
        if pictures and format == "markdown"
        else _WRITERS[format](report)
    )
    for piece in pieces:
        stream.write(piece.encode())


def _shown(folder: Path, source: str, id: str, content_hash: str) -> str:
    """Write a small picture of an image, and return its address; "" of what cannot be read."""
    try:
        data = thumbnail(stored_ref(source, id), _SIDE)
    except SscdError:
        return ""
    file = folder / f"{content_hash}.jpg"
    folder.mkdir(exist_ok=True)
    file.write_bytes(data)
    return quote(f"{folder.name}/{file.name}")
