"""Captions, settings and annotations that lie beside an image and mean nothing without it."""

from __future__ import annotations

import os
from collections.abc import Set

SUFFIXES = frozenset(
    {".aae", ".caption", ".cls", ".json", ".pp3", ".txt", ".xml", ".xmp", ".yaml", ".yml"}
)


class Sidecars:
    """Which files go with images that go.

    `photo.jpg.json` goes with `photo.jpg`, and `photo.txt` with the last image called `photo`.
    """

    def __init__(self, removed: Set[str]) -> None:
        self._removed = removed
        self._stems = {_stem(key) for key in removed}

    def stays(self, image: str) -> None:
        """Note an image that stays, and with it what lies beside it."""
        self._stems.discard(_stem(image))

    def goes(self, key: str) -> bool:
        """Say whether a file that is no image goes, once all that stay are noted."""
        body, suffix = os.path.splitext(key)  # noqa: PTH122
        return suffix.lower() in SUFFIXES and (body in self._removed or body in self._stems)


def _stem(key: str) -> str:
    return os.path.splitext(key)[0]  # noqa: PTH122
