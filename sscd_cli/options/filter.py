"""The options of `sscd filter`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sscd_cli.options import shared
from sscd_cli.options.help import Argument, Help, Options
from sscd_cli.storage.places import place


@dataclass(frozen=True, kw_only=True)
class FilterOptions(Options):
    """A source without the removable images of a report."""

    source: Annotated[
        str,
        Argument(
            "A folder, a tar, zip or Parquet file, a list, or a quoted pattern of such files.",
            value="SOURCE",
        ),
    ]
    remove: Annotated[
        Path,
        Help(
            "A report of sscd dedup in jsonl, csv or parquet; - is stdin.",
            value="REPORT",
            parse=shared.report_to_read,
        ),
    ]
    output: Annotated[
        Path, Help("What to write; it must not exist yet.", "-o", value="PLACE", parse=place)
    ]
    never_remove: Annotated[
        tuple[str, ...],
        Help("No image whose path, or a folder or file name in it, matches this.", value="GLOB"),
    ] = ()
    link: Annotated[bool, Help("Make hard links of a folder's images instead of copies.")] = False
    image_column: shared.ImageColumn = ""
    id_column: shared.IdColumn = ""
