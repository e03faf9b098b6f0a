"""The pictures of a dataset, as far as they lie on this machine and can be read."""

from __future__ import annotations

from collections.abc import Iterator

from PIL.Image import Image

from sscd_cli.descriptors.read import DescriptorSet
from sscd_cli.errors import SscdError
from sscd_cli.images.decode import DEFAULT_LIMITS, load_picture
from sscd_cli.images.opening import Picture, some_frames
from sscd_cli.images.read import read_bytes, stored_ref
from sscd_cli.images.refs import ImageRef
from sscd_cli.storage.servers import is_url


def picture_of(stored: DescriptorSet, row: int) -> Picture | None:
    """Read one image, upright RGB; None where it is not here, or cannot be read."""
    ref = _ref(stored, row)
    try:
        return load_picture(ref, exif=stored.provenance.exif) if ref else None
    except (SscdError, OSError, ValueError):
        return None


def frames_at(stored: DescriptorSet, row: int) -> Iterator[Image]:
    """Yield some frames of one image, upright RGB; none where it is not here.

    Raises: any `Exception` where it cannot be read.
    """
    if ref := _ref(stored, row):
        data, _ = read_bytes(ref, DEFAULT_LIMITS.file_bytes)
        yield from (shown.image for shown in some_frames(data, exif=stored.provenance.exif))


def _ref(stored: DescriptorSet, row: int) -> ImageRef | None:
    source, id = stored.sources[row], stored.ids[row]
    return None if is_url(source or id) else stored_ref(source, id)
