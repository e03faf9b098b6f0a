"""The pictures of a dataset, as far as they lie on this machine and can be read."""

from __future__ import annotations

from collections.abc import Iterator

from PIL.Image import Image

from sscd_cli.descriptors.read import DescriptorSet
from sscd_cli.images.decode import picture_if_any
from sscd_cli.images.opening import Picture, some_frames
from sscd_cli.images.read import read_bytes
from sscd_cli.images.status import local_ref


def picture_of(stored: DescriptorSet, row: int) -> Picture | None:
    """Read one image, upright RGB; None where it is not here, or cannot be read."""
    ref = local_ref(stored.sources[row], stored.ids[row])
    return picture_if_any(ref, exif=stored.provenance.exif) if ref else None


def frames_at(stored: DescriptorSet, row: int) -> Iterator[Image]:
    """Yield some frames of one image, upright RGB; none where it is not here.

    Raises: any `Exception` where it cannot be read.
    """
    if ref := local_ref(stored.sources[row], stored.ids[row]):
        data, _ = read_bytes(ref)
        yield from (shown.image for shown in some_frames(data, exif=stored.provenance.exif))
