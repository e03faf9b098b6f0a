"""Some frames of an animation, or some pages of a file of pages."""

from __future__ import annotations

from collections.abc import Iterator

from sscd_cli.images.opening import Picture, open_picture
from sscd_cli.images.preprocess import Recipe


def some_frames(
    data: bytes, *, exif: bool = True, recipe: Recipe | None = None
) -> Iterator[Picture]:
    """Yield the first frame of a file, those at its quarters, and its last, each once.

    Limits: an animation is decoded from its beginning for each of them.
    Raises: as `open_picture`.
    """
    first = open_picture(data, exif=exif, recipe=recipe)
    yield first
    for number in sorted(set(quarters(first.frames)) - {0}):
        yield open_picture(data, exif=exif, recipe=recipe, frame=number)


def quarters(frames: int) -> list[int]:
    """Return the numbers of the first of some frames, those at the quarters, and the last."""
    return [(frames - 1) * quarter // 4 for quarter in range(5)]
