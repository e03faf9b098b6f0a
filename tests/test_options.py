"""What the classes of options promise: numbers and words are checked where one is made."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from conftest import Run, error_line

from sscd_cli import options
from sscd_cli.errors import UsageError
from sscd_cli.machines.tasks import Task
from sscd_cli.options.dedup import DedupOptions
from sscd_cli.options.embed import EmbedOptions
from sscd_cli.options.help import Help, Options, Range

HOMES = [
    import_module(f"{options.__name__}.{module.name}") for module in iter_modules(options.__path__)
]
CHECKED_BY_ITSELF = {"threshold"}  # which may be a word, too


def classes() -> Iterator[type[Options]]:
    for home in HOMES:
        for kind in vars(home).values():
            if (
                isinstance(kind, type)
                and issubclass(kind, Options)
                and kind.__module__ == (home.__name__)
            ):
                yield kind


def numbers_of(kind: type) -> Iterator[tuple[str, Help]]:
    """Yield the options of a class that are numbers."""
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if get_origin(hint) is not Annotated or name in CHECKED_BY_ITSELF:
            continue
        inner, told = get_args(hint)[:2]
        if {int, float} & {inner, *get_args(inner)}:
            yield name, told


NUMBERS = [(kind, name, told) for kind in classes() for name, told in numbers_of(kind)]


def made(kind: Any, **values: Any) -> Any:
    """Make a class of options; what else it needs is of no interest here."""
    lacking = {field.name: None for field in fields(kind) if field.default is MISSING}
    needed = {"test": ("a",), "against": "b"} if "test" in lacking else {}
    written = {"output": Path("c")} if "output" in {field.name for field in fields(kind)} else {}
    return kind(**{**lacking, **needed, **written, **values})


def test_the_walk_finds_the_options_of_every_command() -> None:
    assert {kind.__name__ for kind in classes()} >= {"EmbedOptions", "TrainOptions"}
    assert len(NUMBERS) > 40


@pytest.mark.parametrize(("kind", "name", "told"), NUMBERS)
def test_every_number_has_a_range_that_holds_for_the_library_too(
    kind: Any, name: str, told: Help
) -> None:
    assert told.within, f"{kind.__name__}.{name} takes any number"
    typed = f"--{name.replace('_', '-')}" if len(name) > 1 else f"-{name}"
    for number in (math.nan, math.inf, -math.inf):
        with pytest.raises(UsageError, match=f"^{typed} .* is (no number|too (small|large)); use"):
            made(kind, **{name: number})
    made(kind)  # the default is within


@pytest.mark.parametrize(
    ("within", "text", "fine", "wrong"),
    [
        (Range(least=1), "1 or more", (1, 9e9), (0, -1)),
        (Range(least=0, most=1000), "0 to 1,000", (0, 1000), (-1, 1001)),
        (Range(above=0), "a number above 0", (1e-9, 5), (0, -1)),
        (Range(above=0, below=1), "a number above 0 and below 1", (0.5,), (0, 1)),
        (Range(above=0, most=1), "a number above 0 to 1", (0.5, 1), (0, 1.1)),
        (Range(least=0, below=1), "0 or more and below 1", (0, 0.9), (-1, 1)),
    ],
)
def test_a_range_takes_what_it_says(
    within: Range, text: str, fine: tuple[float, ...], wrong: tuple[float, ...]
) -> None:
    for number in fine:
        within.check("-k", number)
    for number in wrong:
        with pytest.raises(UsageError) as caught:
            within.check("-k", number)
        assert caught.value.fix == f"use {text}"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("calibrate --seed -1", "--seed -1 is too small"),
        ("calibrate --images 100000000000000000000", "--images 1e+20 is too large"),
        ("train a -o b --learning-rate nan", "--learning-rate nan is no number"),
        ("train a -o b --optimizer sgd --momentum 1", "--momentum 1 is too large"),
        ("embed a --batch-size 99999999999", "--batch-size 99999999999 is too large"),
        ("search a -k 0", "-k 0 is too small"),
        ("eval self a --seed -1", "--seed -1 is too small"),
        ("eval disc a --workers 1000", "--workers 1000 is too large"),
        ("fit -o a --dimensions 0", "--dimensions 0 is too small"),
    ],
)
def test_a_number_out_of_range_is_a_usage_error(sscd: Run, typed: str, message: str) -> None:
    ran = sscd(*typed.split())
    assert (ran.status, ran.out) == (2, b"")
    assert error_line(ran).startswith(f"{message}; use ")


def test_what_options_cannot_be_is_refused_in_the_library_too() -> None:
    for make, message in (
        (lambda: EmbedOptions(sources=("a",), dtype="float64"), "unknown dtype 'float64'"),  # type: ignore[arg-type]
        (lambda: DedupOptions(linkage="average"), "unknown linkage 'average'"),  # type: ignore[arg-type]
        (lambda: DedupOptions(keep=("best",)), "unknown keep word 'best'"),
        (lambda: DedupOptions(threshold=2.0), "--threshold 2 is no cosine similarity"),
        (lambda: EmbedOptions(sources=("a",), prune=True, task=Task(1, 2)), "--prune needs the"),
    ):
        with pytest.raises(UsageError, match=message):
            make()
