"""Shell patterns: which images `--include` and `--exclude` let through, which files a source is."""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import PurePosixPath

from sscd_cli.errors import UsageError
from sscd_cli.images.columns import split_columns
from sscd_cli.storage.servers import exists, matching, without_file_scheme

BRACES = re.compile(r"\{([^{}]*,[^{}]*|\d+\.\.\d+)\}")
SUFFIX = re.compile(r"\.[^*?\[\]./]+\Z")
MAX_FILES = 1_000_000


@dataclass(frozen=True, slots=True)
class Globs:
    """What `include` and `exclude` let through; patterns match a whole id, `*` crosses "/"."""

    include: tuple[re.Pattern[str], ...]
    exclude: tuple[re.Pattern[str], ...]
    all_kinds: tuple[re.Pattern[str], ...] = ()

    @classmethod
    def of(cls, include: Sequence[str], exclude: Sequence[str]) -> Globs:
        all_kinds = [p for p in include if p == "*" or SUFFIX.search(p)]
        return cls(_compiled(include), _compiled(exclude), _compiled(all_kinds))

    def allow(self, key: str) -> bool:
        """Whether the image `key` matches an include pattern (if any) and no exclude pattern."""
        included = not self.include or any(p.match(key) for p in self.include)
        return included and not any(p.match(key) for p in self.exclude)

    def takes(self, key: str) -> bool:
        """Whether an include pattern asks for the file `key` although no image is named so.

        `*` asks for all files, and a pattern that ends in a suffix (`*.dat`) for those.
        """
        return any(p.match(key) for p in self.all_kinds)

    def enter(self, key: str) -> bool:
        """Whether to look into the folder `key`: not when it is excluded, as "a" or as "a/"."""
        return not any(p.match(key) or p.match(f"{key}/") for p in self.exclude)


def _compiled(patterns: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(fnmatch.translate(pattern)) for pattern in patterns)


def is_pattern(source: str) -> bool:
    """Whether a source stands for others: as it is written, nothing lies there."""
    path = without_file_scheme(source)
    return bool(glob.has_magic(path) or BRACES.search(path)) and not exists(path)


def expand(source: str) -> Iterator[str]:
    """Yield the names that `source` stands for: braces first, then `*`, `?` and `[...]`.

    `{000..099}` counts with the zeros it is written with, `{a,b}` lists. A source that exists as
    it is written stands for itself, and so does a pattern that nothing matches.
    Raises: UsageError: more than a million names. OSError: a server does not answer.
    """
    path = without_file_scheme(source)
    if not is_pattern(path):
        yield path
        return
    for name in _braces(path):
        found = matching(name) if glob.has_magic(name) else []
        yield from found or [name]


def _braces(source: str) -> Iterator[str]:
    """Expand `{...}` as a shell does, the last one fastest."""
    parts = BRACES.split(source)
    choices = [_choices(text, source) for text in parts[1::2]]
    total = 1
    for some in choices:
        total *= len(some)
    if total > MAX_FILES:
        what = f"{source} stands for {total:,} files"
        raise UsageError(what, f"name at most {MAX_FILES:,} in one pattern")
    for chosen in product(*choices):
        words = [word for pair in zip(parts[::2], chosen, strict=False) for word in pair]
        yield "".join([*words, parts[-1]])


def _choices(text: str, source: str) -> Sequence[str]:
    if "," in text:
        return text.split(",")
    first, last = text.split("..")
    low, high, step = int(first), int(last), 1 if int(first) <= int(last) else -1
    if abs(high - low) >= MAX_FILES:
        raise UsageError(f"{source} stands for too many files", f"name at most {MAX_FILES:,}")
    width = max(len(first), len(last)) if first.startswith("0") or last.startswith("0") else 0
    return [str(number).zfill(width) for number in range(low, high + step, step)]


def protection(patterns: Sequence[str]) -> Callable[[str, str], bool]:
    """Return whether an image, by its source and id, matches: by its id, or by the name of its
    source, of a folder or of a file in it.

    Where the source lies counts only for a pattern that begins with a slash: a set in /data/test/
    need not be the test split.
    """
    relative = _compiled([pattern for pattern in patterns if not pattern.startswith("/")])
    absolute = _compiled([pattern for pattern in patterns if pattern.startswith("/")])

    def protects(source: str, id: str) -> bool:
        name = PurePosixPath(split_columns(source)[0]).name
        path = PurePosixPath(name, id.lstrip("/"))
        names = (id, str(path), *path.parts, name.partition(".")[0])
        whole = f"{source}/{id}" if source else id
        return any(pattern.match(whole) for pattern in absolute) or any(
            pattern.match(name) for pattern in relative for name in names
        )

    return protects
