"""Which options of a command go together: one table, and what the name of an output file says.

An option that cannot act is refused rather than swallowed. Only what is typed counts: a variable
of the environment is meant for many commands, and what one of them has no use for is no mistake.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sscd_cli.errors import UsageError

Values = Mapping[str, Any]
Test = Callable[[Values], Any]


@dataclass(frozen=True)
class _Rule:
    options: str
    what: str
    holds: Test


class Needs(_Rule):
    """Options that act only where a test holds; `what` is what the user has to add for that."""

    def check(self, option: str, values: Values) -> None:
        """Raise UsageError where an option that was typed so cannot act."""
        if not self.holds(values):
            fix = f"add {self.what}, or leave out {option}"
            raise UsageError(f"{option} does nothing without {self.what}", fix)


class Bars(_Rule):
    """Options that cannot act where a test holds; `what` is what the user typed for that."""

    def check(self, option: str, values: Values) -> None:
        """Raise UsageError where an option that was typed so cannot act."""
        if self.holds(values):
            fix = f"leave out {option}" + (f" or {self.what}" if self.what.startswith("-") else "")
            raise UsageError(f"{option} does nothing with {self.what}", fix)


def _is(name: str, word: str) -> Test:
    return lambda values: values.get(name) == word


def _given(name: str) -> Test:
    return lambda values: values.get(name)


def _names_dataset(values: Values) -> bool:
    from sscd_cli.descriptors.shards import dataset_at

    sources: list[str] = values.get("sources") or []
    return len(sources) == 1 and dataset_at(sources[0]) is not None


def _names_images(values: Values) -> bool:
    from sscd_cli.descriptors.shards import dataset_at

    return not all(map(dataset_at, [*values["test"], values["against"]]))


def _names_columns(values: Values) -> bool:
    """Whether any source may have columns; of a folder its own tables."""
    from sscd_cli.images.containers.kinds import is_table
    from sscd_cli.images.containers.listing import is_listing
    from sscd_cli.images.refs import split_columns
    from sscd_cli.images.sources import is_pattern
    from sscd_cli.storage.servers import is_url

    for source in values.get("sources") or [values.get("source") or ""]:
        name = split_columns(source)[0]
        if is_url(name) or is_pattern(name) or is_table(name) or is_listing(name.lower()):
            return True
        if not Path(name).exists():  # which is another mistake
            return True
        if any(is_table(file) for _, _, files in os.walk(name) for file in files):
            return True
    return False


_COLUMNS = Needs("image_column id_column", "a Parquet file or a list as SOURCE", _names_columns)
_RAY = Needs("gpus_per_task cpus_per_task memory_per_task", "--engine ray", _is("engine", "ray"))
_STDIN = Needs("from0", "- as SOURCE", lambda values: "-" in (values.get("sources") or ()))
_EMBEDDING = (
    "include exclude image_column id_column exif decode recipe precision batch_size workers"
)
_CSV = Needs("metadata", "--format csv", _is("format", "csv"))
_REPORT = "format output null explain exit_code strict"

RULES: dict[str, tuple[Needs | Bars, ...]] = {
    "embed": (
        _RAY,
        _STDIN,
        _COLUMNS,
        Bars("strict prune engine", "--estimate", _given("estimate")),
    ),
    "dedup": (
        _RAY,
        _STDIN,
        Needs(_EMBEDDING, "SOURCE", _given("sources")),
        _COLUMNS,
        Needs("model", "SOURCE or --explain", lambda v: v.get("sources") or v.get("explain")),
        Needs(
            "device",
            "SOURCE, or another --method",
            lambda v: v.get("sources") or v.get("task") or v["method"] in ("auto", "exact"),
        ),
        Bars(f"estimate engine sources linkage keep {_REPORT}", "--task", _given("task")),
        Bars(f"engine against {_REPORT}", "--estimate", _given("estimate")),
        Bars("explain linkage keep method exact min_recall", "--against", _given("against")),
        Bars("method", "--exact", _given("exact")),
        Bars(
            "min_recall",
            "an exact join",
            lambda values: values.get("exact") or values.get("method") == "exact",
        ),
        Bars("explain", "--format paths", _is("format", "paths")),
        Needs("null", "--format paths", _is("format", "paths")),
    ),
    "filter": (_COLUMNS,),
    "leaks": (
        Needs(
            "descriptors model include exclude precision batch_size workers",
            "images as TEST or --against",
            _names_images,
        ),
    ),
    "pair": (Needs("descriptors", "--threshold auto", _is("threshold", "auto")),),
    "calibrate": (Bars("descriptors", "a descriptor dataset as SOURCE", _names_dataset),),
    "eval disc": (_CSV,),
    "eval copydays": (_CSV,),
    "train": (
        Bars("trunk dimensions", "--init", _given("init")),
        Needs("momentum", "--optimizer sgd", _is("optimizer", "sgd")),
        Bars("validate_every", "--holdout 0", lambda values: values["holdout"] == 0),
    ),
}

# the first that a command knows is what such a name stands for
_SUFFIXES: dict[str, tuple[str, ...]] = {
    ".txt": ("text", "paths"),
    ".html": ("html",),
    ".htm": ("html",),
    ".json": ("json",),
    ".jsonl": ("jsonl",),
    ".ndjson": ("jsonl",),
    ".csv": ("csv",),
    ".parquet": ("parquet",),
    ".pt": ("torchscript", "torchvision"),
    ".pth": ("torchvision", "torchscript"),
    ".onnx": ("onnx",),
    ".safetensors": ("safetensors",),
}
_NO_REPORT = {"calibrate"}  # whose --output is the threshold, beside the report on stdout


def check(command: str, values: Values, typed: Mapping[str, str]) -> None:
    """Raise UsageError for the first option that was typed and cannot act.

    Args: command: as "eval disc". typed: the options on the command line, each as it is spelled.
    """
    for rule in RULES.get(command, ()):
        for name in rule.options.split():
            if name in typed:
                rule.check(typed[name], values)


def format_of(
    command: str, output: Path | None, format: str, known: Sequence[str], typed: Mapping[str, str]
) -> str:
    """Return the format of an output: the one that was asked for, or that its name stands for.

    Args: format: that of `--format`, of the environment, or the default. known: what the command
        writes. typed: as for `check`.
    Raises: UsageError: the name is one of other formats.
    """
    suffix = PurePosixPath(str(output or "")).suffix.lower()
    if suffix not in _SUFFIXES or command in _NO_REPORT:
        return format
    fitting = [word for word in _SUFFIXES[suffix] if word in known]
    if not fitting:
        names = [f"*{end}" for end, words in _SUFFIXES.items() if {*words} & {*known}]
        raise UsageError(f"sscd {command} writes no {suffix} file", f"use {', '.join(names)}")
    if format in fitting:
        return format
    option = next((typed[name] for name in ("format", "model_format") if name in typed), None)
    if option:
        what = f"--output {output} is not named as {option} {format} is"
        raise UsageError(what, f"leave out {option}, or name the output otherwise")
    return fitting[0]
