"""When a camera took a picture, as its file says."""

from __future__ import annotations

import io
from datetime import datetime, timedelta

from PIL import ExifTags, Image

from sscd_cli.choices import MAX_PIXELS
from sscd_cli.images.noise import quiet_codecs

_HOUR = timedelta(hours=1)


def capture_time(data: bytes) -> datetime | None:
    """Return when the shutter opened, to the fraction that is told; None where it is not told.

    Reads EXIF's DateTimeOriginal, which editors keep, and SubSecTimeOriginal; decodes no pixels.
    """
    try:
        with quiet_codecs(MAX_PIXELS), Image.open(io.BytesIO(data)) as image:
            exif = image.getexif().get_ifd(ExifTags.IFD.Exif)
        taken = datetime.strptime(str(exif[ExifTags.Base.DateTimeOriginal]), "%Y:%m:%d %H:%M:%S")
        fraction = str(exif.get(ExifTags.Base.SubsecTimeOriginal, "0")).strip("\0 ")
        return taken + timedelta(seconds=float(f"0.{int(fraction or 0):0{len(fraction)}d}"))
    except Exception:  # whatever a file without it, or a damaged one, raises: it tells nothing
        return None


def at_other_times(one: datetime | None, other: datetime | None) -> bool:
    """Whether two pictures were taken at different times; whole hours are a clock put right."""
    if one is None or other is None or one == other:
        return False
    return bool(abs(one - other) % _HOUR)
