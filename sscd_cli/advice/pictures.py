"""The pictures of a dataset, as far as they lie on this machine and can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from sscd_cli.descriptors.read import DescriptorSet


def picture_of(stored: DescriptorSet, row: int) -> Image | None:
    """Read one image, upright RGB; None where it is not here, or cannot be read."""
    from sscd_cli.errors import SscdError
    from sscd_cli.images.decode import load_image
    from sscd_cli.images.read import stored_ref
    from sscd_cli.storage.servers import is_url

    source, id = stored.sources[row], stored.ids[row]
    if is_url(source or id):
        return None
    exif = bool(stored.provenance.preprocessing.get("exif", True))
    try:
        return load_image(stored_ref(source, id), exif=exif)
    except (SscdError, OSError, ValueError):
        return None
