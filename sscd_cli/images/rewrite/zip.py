"""A zip archive without some images: members keep their order, contents, times and comments."""

from __future__ import annotations

import copy
import shutil
import warnings
import zipfile
from collections.abc import Set
from pathlib import PurePosixPath

from sscd_cli.storage.servers import open_binary


def rewrite_zip(source: str, target: str, removed: Set[str]) -> int:
    """Write `source` to `target` without the images `removed`; each member packed as it was.

    Raises: RuntimeError: a member is encrypted; and what `zipfile` raises.
    """
    with (
        open_binary(source) as file,
        zipfile.ZipFile(file) as old,
        zipfile.ZipFile(target, "w") as new,
    ):
        new.comment = old.comment
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a name that is there twice stays so
            for info in old.infolist():
                if str(PurePosixPath(info.filename)) in removed:
                    continue
                with old.open(info) as member, new.open(copy.copy(info), "w") as output:
                    shutil.copyfileobj(member, output, 1 << 20)
    return 0
