"""Where files wait that may go: a hidden tree in their own folder, with their relative names.

It is on the file system of its files, so that moving there copies nothing, and no source: what
lies in it is never embedded or copied again.
"""

from __future__ import annotations

import os

from sscd_cli.images.refs import QUARANTINE


def place_in(base: str, relative: str, run: str) -> str:
    """Return where a file below the folder `base` goes. run: the name of what moves it."""
    path = os.path.join(base, relative)
    root = _same_device(base, os.path.dirname(path))
    return os.path.join(root, QUARANTINE, run, os.path.relpath(path, root))


def _same_device(base: str, folder: str) -> str:
    """Return `base`, or the highest folder below it on the file system of `folder`."""
    device = os.stat(folder).st_dev
    if os.stat(base).st_dev == device:
        return base
    while folder != base and os.stat(os.path.dirname(folder)).st_dev == device:
        folder = os.path.dirname(folder)
    return folder
