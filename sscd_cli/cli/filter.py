"""`sscd filter`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sscd_cli.cli import terminal
from sscd_cli.options.filter import FilterOptions
from sscd_cli.text import counted

if TYPE_CHECKING:
    from sscd_cli.commands.filter import FilterResult


def filter(options: FilterOptions) -> None:
    """Write a source again without what a report calls removable.

    Example: sscd filter shards.tar --remove report.jsonl -o clean.tar

    The source itself stays as it is; what was written is read back before it takes its name.
    """
    from sscd_cli.commands import filter as verb

    _summarise(verb.run(options))


def _summarise(result: FilterResult) -> None:
    if result.elsewhere:
        terminal.note(f"{counted(result.elsewhere, 'more removable images')} in other sources")
    if result.spared:
        terminal.note(f"{counted(result.spared, 'removable images')} spared by --never-remove")
    if result.unread:
        unread = counted(result.unread, "images")
        terminal.warn(f"{unread} that cannot be read stayed, not verified")
    if result.lost:
        terminal.warn(
            f"{counted(result.lost, 'relative names')} in {result.output} not found from "
            "its folder; write it into the folder of its source, or move the images along"
        )
    along = f" with {counted(result.along, 'captions or annotations')}" if result.along else ""
    files = f" in {result.files:,} files" if result.files > 1 else ""
    terminal.note(
        f"{counted(result.images, 'images')}{files}: {result.removed:,} removed{along}, "
        f"{result.images - result.removed - result.unread:,} kept and verified in {result.output}"
    )
