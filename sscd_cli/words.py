"""How an option is typed and what `--help` says of it, with the options that many commands share.

A field of a class in `options` is an option, and so is a parameter of a command: its name is what
is typed (`batch_size`: `--batch-size`, and SSCD_BATCH_SIZE in the environment), its type says what
may follow, and its `Help` the rest. `cli.command` makes the command line of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from sscd_cli.errors import UsageError
from sscd_cli.storage.files import check_output
from sscd_cli.storage.places import RemotePath, place
from sscd_cli.tasks import Task as OneTask


@dataclass(frozen=True, kw_only=True)
class Range:
    """The finite numbers that an option takes: `least` to `most`, or `above` to `below` without
    these two themselves."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def __str__(self) -> str:
        low = f"{self.least:,}" if self.above == -math.inf else f"a number above {self.above:,}"
        if self.below < math.inf:
            more = " or more" if self.above == -math.inf else ""
            return f"{low}{more} and below {self.below:,}"
        if self.most < math.inf:
            return f"{low} to {self.most:,}"
        return f"{low} or more" if self.above == -math.inf else low

    def check(self, option: str, number: float) -> None:
        """Raise UsageError for a number out of the range; `option` is how that is typed."""
        if math.isnan(number):
            fault = "no number"
        elif number < self.least or number <= self.above:
            fault = "too small"
        elif number > self.most or number >= self.below:
            fault = "too large"
        else:
            return
        raise UsageError(f"{option} {number:.17g} is {fault}", f"use {self}")


class Options:
    """A class of options, whose numbers are checked against their ranges where one is made.

    Raises: UsageError: a number is out of the range of its option.
    """

    def __post_init__(self) -> None:
        kind: Any = type(self)
        for name, within in _ranges(kind).items():
            number = getattr(self, name)
            if isinstance(number, int | float):
                within.check(f"--{name.replace('_', '-')}" if len(name) > 1 else f"-{name}", number)


@lru_cache
def _ranges(kind: Any) -> dict[str, Range]:
    hints = get_type_hints(kind, include_extras=True)
    told = {
        name: help
        for name, hint in hints.items()
        for help in getattr(hint, "__metadata__", ())
        if isinstance(help, Help)
    }
    return {name: help.within for name, help in told.items() if help.within}


class Help:
    """What `--help` says of an option, and how it is typed besides `--its-name`.

    names: more of them, as "-d". value: what stands for its value; by default as its type says.
    separator: of a list in one word; without, the option is repeated. parse: makes the value of
    the word. within: the numbers that it takes.
    """

    positional = False

    def __init__(
        self,
        text: str,
        *names: str,
        value: str = "",
        separator: str = "",
        parse: Callable[[str], Any] | None = None,
        within: Range | None = None,
    ) -> None:
        self.text = text
        self.names = names
        self.value = value
        self.separator = separator
        self.parse = parse
        self.within = within


class Argument(Help):
    """The same of a word that is known by its place; `value` is its name."""

    positional = True


def local(path: str) -> Path:
    """Return a path here. Raises: UsageError: it is the URL of one on a server."""
    found = place(path)
    if isinstance(found, RemotePath):
        raise UsageError(f"{found} is on a server", "name a file or folder here")
    return found


def file_to_write(path: str) -> Path:
    """Return a path, here or on a server, to which a file can be written.

    Raises: SscdError: none can.
    """
    found = place(path)
    check_output(found)
    return found


def _threshold(text: str) -> float | str:
    """Return a number, or the name of a file (of which there may be one called "0.5" as ./0.5)."""
    try:
        return float(text)
    except ValueError:
        return text


SHARE = Range(above=0, below=1)
BATCHES = Range(least=1, most=1 << 20)
WORKERS = Range(least=0, most=256)
SEEDS = Range(least=0, most=(1 << 63) - 1)
NEAREST = Range(least=1, most=1 << 20)

# which images, and what they become
Sources = Annotated[
    tuple[str, ...],
    Argument(
        "Folders, image files, tar, zip or Parquet files, lists (CSV, JSON Lines, COCO), "
        "patterns of them, here or at a URL (s3, gs, hf, http); - is a list of files on stdin.",
        value="SOURCE",
    ),
]
Include = Annotated[
    tuple[str, ...], Help("Only images whose path matches this shell pattern.", value="GLOB")
]
Exclude = Annotated[
    tuple[str, ...], Help("No images or folders whose path matches this.", value="GLOB")
]
From0 = Annotated[
    bool,
    Help("The list on stdin is NUL-separated; by default as it holds such bytes or none."),
]
ImageColumn = Annotated[
    str,
    Help(
        "The images of Parquet files and lists; by default the column that holds some.",
        value="NAME",
    ),
]
IdColumn = Annotated[
    str,
    Help("The keys of the images in Parquet files; by default the row number.", value="NAME"),
]
Exif = Annotated[bool, Help("Turn images upright by their EXIF tag.")]
Descriptors = Annotated[
    Path,
    Help(
        "The descriptor dataset, a folder here or on s3:// or gs://.",
        "-d",
        value="FOLDER",
        parse=place,
    ),
]

# the network
Model = Annotated[
    str, Help("The network: a name, or the path of a model file.", "-m", value="NAME|FILE")
]
OwnModel = Annotated[
    str | None,
    Help(
        "The network of the descriptors: a name, or the path of a model file.",
        "-m",
        value="NAME|FILE",
    ),
]
Device = Annotated[str, Help("auto, cpu, cuda or cuda:N.", value="DEVICE")]
Devices = Annotated[
    str,
    Help(
        "auto, cpu, cuda or cuda:N; or several, as cuda:0,cuda:1: images are divided among them.",
        value="DEVICE",
    ),
]
Precision = Annotated[str, Help("Of the trunk: auto, fp32, bf16, fp16 or int8.", value="WORD")]
BatchSize = Annotated[
    int | None,
    Help("Images the network sees at once. By default as fits the device.", within=BATCHES),
]
Workers = Annotated[
    int | None,
    Help(
        "Threads that embed, or beside a GPU processes that decode; 0 is none. "
        "By default as fits the device.",
        within=WORKERS,
    ),
]
Seed = Annotated[int, Help("Of all that is random.", within=SEEDS)]

# similarities
Threshold = Annotated[
    float | str | None,
    Help(
        "Similarity from which a pair is a copy: a number, a file of sscd calibrate, or auto for "
        "its file in the descriptor dataset; by default the model's own.",
        "-t",
        value="NUMBER|auto|FILE",
        parse=_threshold,
    ),
]
Post = Annotated[
    Path | None,
    Help("Post-process descriptors as this file of sscd fit says.", value="FILE", parse=place),
]
ScoreNorm = Annotated[
    str | None,
    Help(
        "Lower similarities by WEIGHT times the mean similarity to the background neighbours "
        "FIRST to LAST that --post keeps, such as 1.0[0,2].",
        value="WEIGHT[FIRST,LAST]",
    ),
]

# how the work is done, and what becomes of the result
Task = Annotated[
    OneTask | None,
    Help("Do part I of N only, as one of N machines.", value="I/N", parse=OneTask.parse),
]
Engine = Annotated[
    Literal["local", "ray"],
    Help("local; or ray, which divides the job among a cluster's machines."),
]
Estimate = Annotated[bool, Help("Say what the work would take, from a short probe, and stop.")]
Report = Annotated[
    Path | None,
    Help(
        "Write the report to this file instead of stdout.", "-o", value="FILE", parse=file_to_write
    ),
]
Output = Annotated[Path, Help("The file to write.", "-o", parse=file_to_write)]
Strict = Annotated[bool, Help("Exit with 4 if an image was unreadable.")]
