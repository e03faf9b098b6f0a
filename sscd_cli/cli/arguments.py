"""The options that several commands share, each spelled once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from sscd_cli.cli import terminal
from sscd_cli.errors import UsageError
from sscd_cli.options import ENGINES, ClusterOptions, check_word
from sscd_cli.places import RemotePath, place

Options = TypeVar("Options")


def option(help: str, *names: str, **settings: Any) -> Any:
    """Return a Typer option that the environment can set too: `--batch-size`, SSCD_BATCH_SIZE."""
    word = next(name for name in names if name.startswith("--")).partition("/")[0]
    variable = "SSCD_" + word.removeprefix("--").replace("-", "_").upper()
    return typer.Option(*names, envvar=variable, show_envvar=False, help=help, **settings)


def chosen(kind: type[Options], given: Mapping[str, Any]) -> Options:
    """Make a dataclass of options of a command line's words: the parameters named as its fields.

    What is None was not given and takes its default; lists become tuples.
    """
    names = {field.name for field in fields(kind)} & given.keys()  # type: ignore[arg-type]
    values: dict[str, Any] = {name: given[name] for name in names if given[name] is not None}
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return kind(**{**values, **lists})


def maybe_remote(path: Path | None) -> Path | None:
    """Return the path on a server that a URL stands for."""
    return path if path is None else place(path)


def local(path: Path | None) -> Path | None:
    """Return a path here. Raises: UsageError: it is the URL of one on a server."""
    if isinstance(maybe_remote(path), RemotePath):
        raise UsageError(f"{maybe_remote(path)} is on a server", "name a file or folder here")
    return path


def _quiet(value: bool) -> bool:
    terminal.state.quiet = value
    return value


def _debug(value: bool) -> bool:
    terminal.state.debug = value
    return value


Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help="Folders, image files, tar, zip or Parquet files, lists (CSV, JSON Lines, COCO), "
        "patterns of them, here or at a URL (s3, gs, hf, http); - is a list of files on stdin.",
        show_default=False,
    ),
]
MaybeSources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCE",
        help="Embed these first and look among them only; without, the whole dataset counts.",
        show_default=False,
    ),
]
Descriptors = Annotated[
    Path,
    option(
        "The descriptor dataset, a folder here or on s3:// or gs://.",
        "--descriptors",
        "-d",
        callback=maybe_remote,
    ),
]
Model = Annotated[str, option("The network: a name, or the path of a model file.", "--model", "-m")]


def _threshold(text: str) -> float | str:
    """Return a number, or the name of a file (of which there may be one called "0.5" as ./0.5)."""
    try:
        return float(text)
    except ValueError:
        return text


Threshold = Annotated[
    Any,
    option(
        "Similarity from which a pair is a copy: a number, a file of sscd calibrate, or auto for "
        "its file in the descriptor dataset; by default the model's own.",
        "--threshold",
        "-t",
        parser=_threshold,
        metavar="NUMBER|auto|FILE",
        show_default=False,
    ),
]
Post = Annotated[
    Path | None,
    option(
        "Post-process descriptors as this file of sscd fit says.",
        "--post",
        show_default=False,
        callback=local,
    ),
]
ScoreNorm = Annotated[
    str | None,
    option(
        "Lower similarities by WEIGHT times the mean similarity to the background neighbours "
        "FIRST to LAST that --post keeps, such as 1.0[0,2].",
        "--score-norm",
        metavar="WEIGHT[FIRST,LAST]",
        show_default=False,
    ),
]
Include = Annotated[
    list[str] | None,
    option("Only images whose path matches this shell pattern.", "--include", metavar="GLOB"),
]
Exclude = Annotated[
    list[str] | None,
    option("No images or folders whose path matches this.", "--exclude", metavar="GLOB"),
]
Null = Annotated[bool, option("Lists, in and out, are NUL-separated.", "--null", "-0")]
ImageColumn = Annotated[
    str,
    option(
        "The images of Parquet files and lists; by default the column that holds some.",
        "--image-column",
        metavar="NAME",
        show_default=False,
    ),
]
IdColumn = Annotated[
    str,
    option(
        "The keys of the images in Parquet files; by default the row number.",
        "--id-column",
        metavar="NAME",
        show_default=False,
    ),
]
Exif = Annotated[bool, option("Turn images upright by their EXIF tag.", "--exif/--no-exif")]
Decode = Annotated[
    str,
    option(
        "exact; fast, large images at a lower resolution; or auto, as the model says.",
        "--decode",
    ),
]
Prune = Annotated[bool, option("Drop rows of files that are gone.", "--prune")]
Device = Annotated[str, option("auto, cpu, cuda or cuda:N.", "--device")]
Precision = Annotated[str, option("Of the trunk: auto, fp32, bf16, fp16 or int8.", "--precision")]
BatchSize = Annotated[
    int | None,
    option(
        "Images the network sees at once. By default as fits the device.",
        "--batch-size",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    option(
        "Threads that embed, or beside a GPU processes that decode; 0 is none. "
        "By default as fits the device.",
        "--workers",
        show_default=False,
    ),
]
Dtype = Annotated[str, option("How descriptors are stored: float16 or float32.", "--dtype")]
OutputKind = Annotated[
    str,
    option(
        "descriptor; embedding, the pooled features; or logits, before normalisation.",
        "--output-kind",
    ),
]
ShardRows = Annotated[int, option("Images in a shard.", "--shard-rows")]
MaxPixels = Annotated[int, option("An image with more pixels is unreadable.", "--max-pixels")]
MaxBytes = Annotated[int, option("A file with more bytes is unreadable.", "--max-bytes")]
Task = Annotated[
    str | None,
    option(
        "Do part I of N only, as one of N machines.", "--task", metavar="I/N", show_default=False
    ),
]
Engine = Annotated[
    str, option("local; or ray, which divides the job among a cluster's machines.", "--engine")
]
GpusPerTask = Annotated[
    float | None,
    option(
        "With Ray: GPUs of a task; by default one, if there are any.",
        "--gpus-per-task",
        show_default=False,
    ),
]
CpusPerTask = Annotated[
    float | None,
    option(
        "With Ray: cores of a task; by default a GPU's share, or one.",
        "--cpus-per-task",
        show_default=False,
    ),
]
MemoryPerTask = Annotated[
    float | None,
    option("With Ray: memory of a task in GiB.", "--memory-per-task", show_default=False),
]
Estimated = Annotated[
    bool,
    option("Say what embedding would take, from a short probe, and stop.", "--estimate"),
]
Strict = Annotated[bool, option("Exit with 4 if an image was unreadable.", "--strict")]
ExitCode = Annotated[bool, option("Exit with 1 if copies were found.", "--exit-code")]
Output = Annotated[
    Path | None,
    option(
        "Write the report to this file instead of stdout.", "--output", "-o", callback=maybe_remote
    ),
]
Quiet = Annotated[
    bool,
    option("No progress and no summary on stderr.", "--quiet", "-q", callback=_quiet),
]
Debug = Annotated[bool, option("Show the traceback of an error.", "--debug", callback=_debug)]


def cluster(given: Mapping[str, Any]) -> ClusterOptions | None:
    """Return what `--engine` and the options of a task stand for; None is this machine alone."""
    check_word("engine", given["engine"], ENGINES)
    options = chosen(ClusterOptions, given)
    options.check()
    return options if given["engine"] == "ray" else None
