"""`sscd filter`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sscd_cli.cli import arguments as words
from sscd_cli.cli import terminal
from sscd_cli.options import FilterOptions

if TYPE_CHECKING:
    from sscd_cli.filter import FilterResult

_default = FilterOptions(source="", remove=Path(), output=Path())


def filter(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder, a tar, zip or Parquet file, a list, or a quoted pattern of such files.",
            show_default=False,
        ),
    ],
    remove: Annotated[
        Path,
        words.option(
            "A report of sscd dedup in jsonl, csv, parquet or paths; - is stdin.",
            "--remove",
            metavar="REPORT",
            show_default=False,
            callback=words.maybe_remote,
        ),
    ],
    output: Annotated[
        Path,
        words.option(
            "What to write; it must not exist yet.",
            "--output",
            "-o",
            show_default=False,
            callback=words.maybe_remote,
        ),
    ],
    never_remove: Annotated[
        list[str] | None,
        words.option(
            "No image whose path, or a folder or file name in it, matches this.",
            "--never-remove",
            metavar="GLOB",
        ),
    ] = None,
    link: Annotated[
        bool, words.option("Of a folder, make hard links instead of copies.", "--link")
    ] = _default.link,
    image_column: words.ImageColumn = _default.image_column,
    id_column: words.IdColumn = _default.id_column,
    quiet: words.Quiet = False,
    debug: words.Debug = False,
) -> None:
    """Write a source again without the images that a report calls removable.

    The source itself stays as it is; what was written is read back before it takes its name.
    """
    given = locals()
    from sscd_cli import filter as verb

    _summarise(verb.run(words.chosen(FilterOptions, given)))


def _summarise(result: FilterResult) -> None:
    if result.elsewhere:
        terminal.note(
            f"{terminal.counted(result.elsewhere, 'more removable images')} in other sources"
        )
    if result.spared:
        terminal.note(
            f"{terminal.counted(result.spared, 'removable images')} spared by --never-remove"
        )
    if result.unread:
        terminal.warn(f"{result.unread:,} images that stay cannot be read, and are not verified")
    if result.lost:
        terminal.warn(
            f"{result.lost:,} relative names in {result.output} lead nowhere from its folder; "
            "write it into the folder of its source, or move the images along"
        )
    files = f" in {result.files:,} files" if result.files > 1 else ""
    terminal.note(
        f"{terminal.counted(result.images, 'images')}{files}: {result.removed:,} removed, "
        f"{result.images - result.removed - result.unread:,} kept and verified in {result.output}"
    )
