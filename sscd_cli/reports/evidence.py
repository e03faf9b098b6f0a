"""Are the images that a report names still those that were compared?

What acts on a report asks before each act: what goes must have the bytes that were compared, and
what stays for it must have them, too, and be an image.
"""

from __future__ import annotations

import os
import sys

from sscd_cli.errors import SscdError
from sscd_cli.images.decode import Limits, Unreadable, decode, read
from sscd_cli.images.read import is_file, stored_ref
from sscd_cli.reports.removals import Removal
from sscd_cli.reports.reported import ReportedImage


def refuse_changed(image: ReportedImage) -> None:
    """Raise SscdError unless the bytes of an image are those that a report was made from."""
    found = read(stored_ref(image.source, image.id), Limits(sys.maxsize, sys.maxsize))
    if isinstance(found, Unreadable):
        raise SscdError(f"cannot read {_name(image)}: {found.error}", _AGAIN)
    if found.content_hash.hex() != image.content_hash:
        raise SscdError(f"{_name(image)} has changed since the report", _AGAIN)


def refuse_unfit_keeper(image: ReportedImage) -> None:
    """Raise SscdError unless what must stay has the bytes of the report and is an image."""
    found = decode(stored_ref(image.source, image.id), limits=Limits(sys.maxsize, sys.maxsize))
    name = f"{_name(image)}, which must stay,"
    if found.content_hash is not None and found.content_hash.hex() != image.content_hash:
        raise SscdError(f"{name} has changed since the report", _AGAIN)
    if isinstance(found, Unreadable):
        raise SscdError(f"{name} cannot be read: {found.error}", _AGAIN)


def refuse_same_file(removal: Removal) -> None:
    """Raise SscdError where what goes and what stays have become one file."""
    images = removal.image, removal.keeper
    if not all(is_file(image.source, image.id) for image in images):
        return
    one, other = (stored_ref(image.source, image.id).path for image in images)
    if os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other):  # noqa: PTH110, PTH121
        what = f"{_name(removal.image)} and what must stay for it have become one file"
        raise SscdError(what, _AGAIN)


_AGAIN = "run sscd dedup again"


def _name(image: ReportedImage) -> str:
    return f"{image.id} in {image.source or 'a list'}"
