"""Small pictures for the page, made side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from sscd_cli.errors import SscdError, printable
from sscd_cli.images.status import stored_ref
from sscd_cli.images.thumbnail import thumbnail
from sscd_cli.machines.hardware import core_count
from sscd_cli.reports.reported import ReportedImage


def preview(image: ReportedImage, side: int) -> bytes | str:
    """Return an image as a JPEG file, its longer edge `side` pixels, or why it cannot be shown."""
    try:
        return thumbnail(stored_ref(image.source, image.id), side)
    except SscdError as error:
        return printable(error.what)


def previews(images: Iterable[ReportedImage], side: int) -> Iterator[bytes | str]:
    """Yield the previews of images in their order; a few wait in memory, not all."""
    waiting: deque[Future[bytes | str]] = deque()
    workers = core_count()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for image in images:
                waiting.append(pool.submit(preview, image, side))
                if len(waiting) > 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
