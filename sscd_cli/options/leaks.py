"""The options of `sscd leaks`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Annotated

from sscd_cli.choices import DESCRIPTORS, LEAK_SUFFIXES
from sscd_cli.errors import SscdError, UsageError
from sscd_cli.options import shared
from sscd_cli.options.help import Argument, Help, Options
from sscd_cli.storage.places import RemotePath, absolute, place

_AMOUNT = re.compile(r"(\d{1,15})|(\d{1,3}(?:\.\d{1,12})?)%")


@dataclass(frozen=True)
class Amount:
    """So many images, or such a share of them; prints as it was typed."""

    typed: str

    def __post_init__(self) -> None:
        if not _AMOUNT.fullmatch(self.typed) or (self._is_share and self._number > 100):
            what = f"{self.typed!r} is no number of images and no share of them"
            raise UsageError(what, "use a whole number such as 3, or 0% to 100%")

    def __str__(self) -> str:
        return self.typed

    @property
    def _is_share(self) -> bool:
        return self.typed.endswith("%")

    @property
    def _number(self) -> Fraction:
        return Fraction(self.typed.removesuffix("%"))

    def of(self, images: int) -> Fraction:
        """Return how many of some images it is, exactly."""
        return images * self._number / 100 if self._is_share else self._number

    def exceeds(self, other: Amount) -> bool:
        """Whether it is more than another, whatever the number of images."""
        return self._is_share == other._is_share and self._number > other._number

    @classmethod
    def parse(cls, typed: str | Amount) -> Amount:
        return typed if isinstance(typed, Amount) else cls(typed.strip())


NOTHING = Amount("0")


def _file_to_read(path: str) -> Path:
    found = place(path)
    if not found.is_file():
        raise SscdError(f"there is no file {found}", "check the path")
    return found


def _report(path: str) -> Path:
    """Return a file to write whose name says in which format."""
    found = shared.file_to_write(path)
    if found.suffix.lower() not in LEAK_SUFFIXES:
        known = ", ".join(f"*{suffix}" for suffix in LEAK_SUFFIXES)
        raise UsageError(
            f"no report of leaks is a {found.suffix or 'nameless'} file", f"use {known}"
        )
    return found


ReportFiles = Annotated[
    tuple[Path, ...],
    Help(
        "Write the report to this file, too, in the format of its name: .txt, .json, .xml (JUnit), "
        ".sarif or .md.",
        "-o",
        value="FILE",
        parse=_report,
    ),
]


@dataclass(frozen=True, kw_only=True)
class LeaksOptions(Options):
    """Sets, each of images or of descriptors, and how much one may hold of those named after it."""

    test: Annotated[
        tuple[str, ...],
        Argument(
            "A set that shall hold no copies: a descriptor dataset, or images to embed first. Of "
            "several each is compared with those after it, too.",
            value="TEST",
        ),
    ]
    against: Annotated[
        str,
        Help("The set whose copies are looked for, of either kind.", value="TRAIN"),
    ]
    max_leakage: Annotated[
        Amount,
        Help(
            "How many test images may leak, or which share of them; above, the exit status is 1.",
            value="N|P%",
            parse=Amount.parse,
        ),
    ] = NOTHING
    warn_at: Annotated[
        Amount | None,
        Help("Warn from so many on.", value="N|P%", parse=Amount.parse),
    ] = None
    baseline: Annotated[
        Path | None,
        Help("Leaks that are known: only others count.", value="FILE", parse=_file_to_read),
    ] = None
    write_baseline: Annotated[
        Path | None,
        Help(
            "Write the leaks found as a baseline, which accepts them: the exit status is 0.",
            value="FILE",
            parse=partial(shared.file_to_write, option="--write-baseline"),
        ),
    ] = None
    decisions: Annotated[
        Path | None,
        Help(
            "What people decided on pairs; by default decisions.jsonl with TEST's descriptors.",
            value="FILE",
            parse=_file_to_read,
        ),
    ] = None
    clean_list: Annotated[
        Path | None,
        Help(
            "Write the ids of the test images without any copy, one a line.",
            value="FILE",
            parse=partial(shared.file_to_write, option="--clean-list"),
        ),
    ] = None
    resplit: Annotated[
        Path | None,
        Help(
            "Write a list for each set into this folder: the same images, divided anew into sets "
            "of the same sizes that share no copies.",
            value="FOLDER",
            parse=shared.local,
        ),
    ] = None
    threshold: shared.Threshold = None
    post: shared.Post = None
    score_norm: shared.ScoreNorm = None
    low_content: shared.LowContent = False
    yes: shared.Yes = False
    descriptors: Annotated[
        Path,
        Help(
            "The folder in which each set of images gets a descriptor dataset of its own.",
            "-d",
            value="FOLDER",
            parse=place,
            variable="SSCD_LEAKS_DESCRIPTORS",
        ),
    ] = DESCRIPTORS
    model: Annotated[
        str | None,
        Help(
            "The network for images: a name, or the path of a model file; by default that of the "
            "descriptors that they are compared with.",
            "-m",
            value="NAME|FILE",
        ),
    ] = None
    include: shared.Include = ()
    exclude: shared.Exclude = ()
    device: shared.Devices = "auto"
    precision: shared.Precision = "auto"
    batch_size: shared.BatchSize = None
    workers: shared.Workers = None

    def check(self) -> None:
        """Raise UsageError for what no set can make possible, before any work is done."""
        whole = [_whole_name(name) for name in self.test]
        if _whole_name(self.against) in whole:
            raise UsageError("TEST and --against are the same", "name the training set")
        if len(set(whole)) < len(whole):
            raise UsageError("a TEST is named twice", "name each set once")
        if self.warn_at and self.warn_at.exceeds(self.max_leakage):
            what = f"--warn-at {self.warn_at} is more than --max-leakage {self.max_leakage}"
            raise UsageError(what, "warn earlier, or allow more")


def _whole_name(source: str) -> str:
    found = place(source)
    return absolute(found) if isinstance(found, RemotePath) else str(found.resolve())
