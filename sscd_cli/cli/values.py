"""From a word of the command line or the environment to a value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

from sscd_cli.choices import check_word
from sscd_cli.options.shared import local


def filled(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a parser that refuses the empty word, as of an unset variable of the shell."""

    def parse_filled(word: Any) -> Any:
        if word == "":
            raise typer.BadParameter("it is empty")
        return parse(word)

    return parse_filled


def parser(name: str, kind: Any, separator: str) -> Callable[[Any], Any]:
    """Return what makes a value of a word, or of a default."""
    if separator:
        return lambda text: tuple(part.strip() for part in text.split(separator) if part.strip())
    if get_origin(kind) is Literal:
        return partial(_known, option=name, known=get_args(kind))
    if get_origin(kind) is list:
        return parser(name, get_args(kind)[0], separator)
    return {Path: local, int: _whole, float: _number, bool: _switch}.get(kind, str)


def _known(word: str, option: str, known: Sequence[str]) -> str:
    if word == "jsonl" and "json" in known:  # one record, of which both are right names
        word = "json"
    check_word(option.replace("_", " "), word, known)
    return word


def _whole(word: str | int) -> int:
    with suppress(ValueError):
        return int(word)
    raise typer.BadParameter(f"{word!r} is no whole number")


def _number(word: str | float) -> float:
    with suppress(ValueError):
        return float(word)
    raise typer.BadParameter(f"{word!r} is no number")


def _switch(word: str | bool) -> bool:
    """Read a switch, which only the environment has a word for."""
    text = str(word).strip().lower()
    if text in {"1", "true", "t", "yes", "y", "on"}:
        return True
    if text in {"", "0", "false", "f", "no", "n", "off"}:
        return False
    raise typer.BadParameter(f"{word!r} is neither 1 nor 0")


class Parsed:
    """Makes values of an option's words by its own parser. Typer's way loads pydantic, 60 ms."""

    def __init__(self, parse: Callable[[Any], Any]) -> None:
        self._parse = parse

    def coerce(self, value: Any, *, param: Any, ctx: Any) -> Any:
        """Return the value of a word, or of each of several. Raises: as the parser."""
        if param.multiple or param.nargs == -1:
            return [self._parse(word) for word in value or ()]
        return None if value is None else self._parse(value)
