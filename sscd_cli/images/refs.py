"""How an image is called before it is opened, with the columns of a table that hold it and its key;
what tells that it has changed, and what naming the images of some sources came across besides."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from sscd_cli.errors import SscdError, UsageError, printable
from sscd_cli.images.signatures import bin_of, suffix_of

# a table, and the columns chosen in it
CHOSEN = re.compile(
    r"(.+\.(?:parquet|pq|arrow|feather|ipc|(?:csv|tsv|jsonl|ndjson)(?:\.(?:gz|bz2|xz|zst))?))"
    r"#((?:image|id)=[^#]*)",
    re.IGNORECASE | re.DOTALL,
)
USUAL = ("image", "file_name", "img", "jpg", "path", "file", "filename", "url")
# where `sscd apply` puts what may go: no source
QUARANTINE = ".sscd-quarantine"


class Place(NamedTuple):
    """Where an image's bytes lie in its container, or in the whole of a file on a server.

    mtime_ns: when the container or the file was written. pieces: of a sparse file, where in it they
    begin and how long they are; they follow one another from `offset` on, and all else is zeros.
    """

    offset: int
    size: int
    mtime_ns: int
    pieces: tuple[tuple[int, int], ...] | None = None

    def runs(self) -> Iterator[tuple[int | None, int]]:
        """Yield where each run of bytes lies, None for zeros, and its length.

        Raises: OSError: the pieces overlap, or are longer than the file.
        """
        if self.pieces is None:
            yield self.offset, self.size
            return
        at, done = self.offset, 0
        for begin, length in (*self.pieces, (self.size, 0)):
            if length == begin == 0:  # it ends the list of some writers
                continue
            if not done <= begin <= begin + length <= self.size:
                raise OSError("a sparse file of which the pieces do not fit")
            yield None, begin - done
            yield at, length
            at, done = at + length, begin + length


ROWS = "rows"
SHOWN_NAMES = 8


class Fault(NamedTuple):
    """Why no more images of a folder, an archive or a list (its `kind`) could be named.

    Or which of its `ROWS` name none.
    """

    kind: str
    reason: str
    fix: str

    def as_error(self, path: str) -> SscdError:
        """Return the error that ends a run which needs all of the images."""
        if self.kind == ROWS:
            return SscdError(self.reason, self.fix)
        return SscdError(f"cannot read the {self.kind} {path}: {self.reason}", self.fix)

    def __str__(self) -> str:
        what = "" if self.kind == ROWS else f"the {self.kind} cannot be read to its end: "
        return f"{what}{self.reason}; {self.fix}"


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One image that has been named but not yet opened.

    id: stable key: POSIX path relative to `source`, or the container's own key; for a file given
    by itself, its path as given without "." steps and doubled slashes. source: absolute path of
    the folder or container; for a file given by itself the working directory, or "" if its path
    is absolute. path: what to open. member: key inside a container, None for a file of its own.
    place: spares looking the member up. fault: it stands for the images of a folder, an archive or
    a list that could not be named; then `path` and `id` are those of the folder or file.
    """

    id: str
    source: str
    path: str
    member: str | None = None
    place: Place | None = None
    fault: Fault | None = None

    @property
    def name(self) -> str:
        """What to call it in a message: what to open, and the member of a container."""
        return self.path if self.member is None else f"{self.path}/{self.id}"


class FileStatus(NamedTuple):
    """What tells cheaply that an image has changed: its size in bytes and when it was written.

    For a member of a container, `mtime_ns` is the container's: writers often fake the members'.
    `file_bytes` is None where only reading the image would tell; then the time alone does.
    """

    file_bytes: int | None
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileStatus:
        """Return that of a file here; of its time the nearest that 64 bits of nanoseconds can tell.

        They reach from the year 1677 to 2262.
        """
        return cls(status.st_size, max(-(1 << 63), min(status.st_mtime_ns, (1 << 63) - 1)))


class ElsewhereError(OSError):
    """A container names a file instead of holding the image; its path is the argument."""


class NotImagesError(UsageError):
    """A table holds no images."""


class DescriptorsError(NotImagesError):
    """A table holds the descriptors of images."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} holds descriptors, not images", "name its folder with -d")


class MissingMemberError(OSError):
    """A container has no image of that name."""


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
    _bins: set[str] = field(default_factory=set, repr=False)

    def leave_out(self, name: str) -> None:
        """Count a file that is no image."""
        self.left_out[suffix_of(name)] += 1

    def skip(self, key: str) -> None:
        """Count the recycle bin, if any, that a hidden member of an archive lies in."""
        bin = bin_of(key)
        if bin and bin not in self._bins:
            self._bins.add(bin)
            self.bins[bin.rpartition("/")[2]] += 1

    def add(self, other: Survey) -> None:
        """Take in the counts of another: of an archive among others."""
        self.left_out += other.left_out
        self.bins += other.bins
        self.repeated += other.repeated

    def note_whole(self, path: str) -> None:
        """Remember that all images of a folder, an archive or a list were named: 8 bytes each."""
        self._whole += _key(path)

    def whole(self, paths: Iterable[str]) -> list[str]:
        """Return those of some paths that were named to their end."""
        noted = {bytes(self._whole[at : at + 8]) for at in range(0, len(self._whole), 8)}
        return [path for path in paths if _key(path) in noted]


def most_common(found: Counter[str]) -> str:
    """Return how many there are of each name, the most frequent ones by theirs."""
    most = found.most_common(SHOWN_NAMES)
    named = [f"{count:,} {name or 'without a suffix'}" for name, count in most]
    if len(found) > len(most):
        named.append(f"{found.total() - sum(dict(most).values()):,} others")
    return printable(", ".join(named))


def joined(surveys: Iterable[Survey]) -> Survey:
    """Return what several tasks of one job noted: each walks the same folders."""
    total = Survey()
    for survey in surveys:
        total.left_out |= survey.left_out
        total.bins |= survey.bins
        total.repeated += survey.repeated
    return total


def _key(path: str) -> bytes:
    return hashlib.blake2b(os.fsencode(path), digest_size=8).digest()


class Columns(NamedTuple):
    """The columns that were chosen; "" finds the images, and takes the row number for the key."""

    image: str = ""
    id: str = ""


FOUND = Columns()


def split_columns(source: str) -> tuple[str, Columns]:
    """Split `rows.parquet#image=photo&id=key` into the file and the columns chosen in it."""
    match = CHOSEN.fullmatch(source)
    if match is None:
        return source, Columns()
    chosen = dict(parse_qsl(match[2], errors="surrogateescape"))
    return match[1], Columns(chosen.get("image", ""), chosen.get("id", ""))


def join_columns(path: str, columns: Columns) -> str:
    """Return the source that `split_columns` splits."""
    chosen = {word: column for word, column in columns._asdict().items() if column}
    return f"{path}#{urlencode(chosen, errors='surrogateescape')}" if chosen else path


def image_column(
    path: str, chosen: str, found: Sequence[str], others: Sequence[str], choice: Sequence[str]
) -> str:
    """Return the chosen column, or the only one that holds images, or the one usually named so.

    Args: found: the columns that hold images. others: those that do not. choice: those that may be
    chosen.
    Raises: NotImagesError: no such column, or none that holds images. UsageError: several do. Both
        name the columns.
    """
    if chosen in found or (len(found) == 1 and not chosen):
        return chosen or found[0]
    usual = [name for name in USUAL if name in found]
    if usual and not chosen:
        return usual[0]
    if chosen in others:
        what = f"column {chosen} of {path} holds no images"
    elif chosen:
        what = f"{path} has no column {chosen}"
    else:
        what = f"{path} has {'several columns' if found else 'no column'} with images"
    fix = f"choose one with --image-column ({', '.join(choice)})"
    kind = UsageError if found and not chosen else NotImagesError
    raise kind(what, fix if choice else "name a table with images, or with their paths")
