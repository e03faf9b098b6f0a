"""The options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from sscd_cli.errors import SscdError, UsageError, reason_of
from sscd_cli.machines.tasks import Task as OneTask
from sscd_cli.options.help import Argument, Help, Range
from sscd_cli.storage.files import check_output
from sscd_cli.storage.places import RemotePath, place


def local(path: str) -> Path:
    """Return a path here. Raises: UsageError: it is the URL of one on a server."""
    found = place(path)
    if isinstance(found, RemotePath):
        raise UsageError(f"{found} is on a server", "name a file or folder here")
    return found


def file_to_write(path: str, option: str = "-o") -> Path:
    """Return a path, here or on a server, to which a file can be written.

    Raises: SscdError: none can; it names the option.
    """
    found = place(path)
    check_output(found, f"name another file with {option}")
    return found


def report_to_read(path: str) -> Path:
    """Return where a report lies: here, on a server, or "-" for stdin.

    Raises: SscdError: it is not here, which is said before what else is wrong with a command.
    """
    found = place(path)
    if path != "-" and not isinstance(found, RemotePath):
        try:
            found.stat()
        except OSError as error:
            what = f"cannot read {found}: {reason_of(error)}"
            raise SscdError(what, "name a report of sscd dedup") from None
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

Recipe = Annotated[
    str,
    Help(
        "How images are prepared where the network's file does not say: small-288, the short edge "
        "becomes 288 pixels; skew-320, a square of 320.",
        value="small-N|skew-N",
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

Precision = Annotated[
    str,
    Help(
        "Number format of the network: auto, fp32, bf16, fp16, or int8 for the bundled model.",
        value="WORD",
    ),
]

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

Seed = Annotated[int, Help("Seed of all that is random.", within=SEEDS)]


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


LowContent = Annotated[
    bool,
    Help("Compare pictures with next to nothing in them, too, not only find their exact copies."),
]

Yes = Annotated[bool, Help("Believe the threshold even where everything resembles everything.")]


# how the work is done, and what becomes of the result
Decisions = Annotated[
    Path | None,
    Help(
        "What was decided; by default decisions.jsonl with the descriptors.",
        value="FILE",
        parse=place,
    ),
]
Task = Annotated[
    OneTask | None,
    Help("Do part I of N only, as one of N machines.", value="I/N", parse=OneTask.parse),
]

Engine = Annotated[
    Literal["local", "ray"],
    Help("local; or ray, which divides the job among a cluster's machines."),
]

Estimate = Annotated[bool, Help("Say what the work would take, from a short probe, and stop.")]

ReportToWrite = Annotated[
    Path | None,
    Help(
        "Write the report to this file instead of stdout.", "-o", value="FILE", parse=file_to_write
    ),
]

ReportToRead = Annotated[
    Path,
    Argument(
        "A report of sscd dedup in jsonl, csv or parquet; - is stdin.",
        value="REPORT",
        parse=report_to_read,
    ),
]
Output = Annotated[Path, Help("The file to write.", "-o", parse=file_to_write)]

Format = Annotated[Literal["text", "jsonl"], Help("text or jsonl.", "-f")]

Strict = Annotated[bool, Help("Exit with 4 if an image was unreadable.")]
