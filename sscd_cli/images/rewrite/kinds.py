"""Which kind of source is written how."""

from __future__ import annotations

import os
from collections.abc import Callable, Set

from sscd_cli.images.columns import split_columns
from sscd_cli.images.containers.kinds import ARROW, PARQUET, TAR, ZIP
from sscd_cli.images.listing import is_listing

Rewrite = Callable[[str, str, Set[str]], int]


def rewriter(source: str) -> Rewrite | None:
    """Return what writes a file `source` (with its columns) to a path without the images of some
    ids; None if it is no kind of source that holds several.

    What it returns counts what went along (captions of a sample, annotations), and raises OSError,
    ValueError and the formats' own errors.
    """
    name = split_columns(source)[0].lower()
    if name.endswith(TAR):
        from sscd_cli.images.rewrite.tar import rewrite_tar

        return rewrite_tar
    if name.endswith(ZIP):
        from sscd_cli.images.rewrite.zip import rewrite_zip

        return rewrite_zip
    if name.endswith(PARQUET):
        from sscd_cli.images.rewrite.table import rewrite_parquet

        return rewrite_parquet
    if name.endswith(ARROW):
        from sscd_cli.images.rewrite.table import rewrite_arrow

        return rewrite_arrow
    if is_listing(name):
        from sscd_cli.images.rewrite.listing import rewrite_listing

        return rewrite_listing
    return None


def suffix(name: str) -> str:
    """Return the extension by which a source is known, in lower case: ".tar.gz", ".csv", ""."""
    name = split_columns(name)[0].lower()
    double = [known for known in TAR if name.endswith(known)]
    return max(double, key=len) if double else os.path.splitext(name)[1]  # noqa: PTH122
