"""What naming the images of some sources came across besides the images."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Survey:
    """Counts of what was left out, and which folders and files were named to their end.

    left_out: files that are no images, by their suffix ("" without one). bins: folders of deleted
    files and of thumbnails, by their name. repeated: members of an archive that a later one of
    the same name replaces.
    """

    left_out: Counter[str] = field(default_factory=Counter)
    bins: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    _whole: bytearray = field(default_factory=bytearray, repr=False)

    def leave_out(self, name: str) -> None:
        """Count a file that is no image."""
        self.left_out[suffix_of(name)] += 1

    def note_whole(self, path: str) -> None:
        """Remember that all images of a folder, an archive or a list were named: 8 bytes each."""
        self._whole += _key(path)

    def whole(self, paths: Iterable[str]) -> list[str]:
        """Return those of some paths that were named to their end."""
        noted = {bytes(self._whole[at : at + 8]) for at in range(0, len(self._whole), 8)}
        return [path for path in paths if _key(path) in noted]


def joined(surveys: Iterable[Survey]) -> Survey:
    """Return what several tasks of one job noted: each walks the same folders."""
    total = Survey()
    for survey in surveys:
        total.left_out |= survey.left_out
        total.bins |= survey.bins
        total.repeated += survey.repeated
    return total


def suffix_of(name: str) -> str:
    """Return the suffix of a file's name in lower case, as ".txt"; "" without one."""
    stem, _, suffix = name.rpartition("/")[2].rpartition(".")
    return f".{suffix.lower()}" if stem else ""


def _key(path: str) -> bytes:
    return hashlib.blake2b(os.fsencode(path), digest_size=8).digest()
