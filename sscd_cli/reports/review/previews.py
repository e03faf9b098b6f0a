"""Small pictures for the page, made side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from sscd_cli.errors import SscdError, printable
from sscd_cli.images.status import stored_ref
from sscd_cli.images.thumbnail import thumbnail
from sscd_cli.machines.hardware import core_count
from sscd_cli.machines.threads import in_order
from sscd_cli.reports.reported import ReportedImage


def preview(image: ReportedImage, side: int) -> bytes | str:
    """Return an image as a JPEG file, its longer edge `side` pixels, or why it cannot be shown."""
    try:
        return thumbnail(stored_ref(image.source, image.id), side)
    except SscdError as error:
        return printable(error.what)


def previews(images: Iterable[ReportedImage], side: int) -> Iterator[bytes | str]:
    """Yield the previews of images in their order; a few wait in memory, not all."""
    workers = core_count()
    with ThreadPoolExecutor(workers) as pool:
        yield from in_order(pool, 4 * workers, partial(preview, side=side), images)
