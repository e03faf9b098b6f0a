"""What `--help` says of an option, and how it is typed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from sscd_cli.choices import check_word
from sscd_cli.errors import UsageError

Made = TypeVar("Made")


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
    """A class of options, which are checked where one is made.

    Raises: UsageError: a number is out of the range of its option, a word is none of its own, or
        options contradict each other.
    """

    def __post_init__(self) -> None:
        kind: Any = type(self)
        for name, known in _known(kind).items():
            value = getattr(self, name)
            if isinstance(known, tuple):
                check_word(name.replace("_", " "), value, known)
            elif isinstance(value, int | float):
                known.check(f"--{name.replace('_', '-')}" if len(name) > 1 else f"-{name}", value)
        self.check()

    def check(self) -> None:
        """Raise UsageError for what these options cannot be together."""

    def shared_with(self, kind: type[Options]) -> dict[str, Any]:
        """Return by name what is set here of the options that another class has, too."""
        wanted: Any = kind
        return {f.name: getattr(self, f.name) for f in fields(wanted) if hasattr(self, f.name)}

    def fill(self, kind: type[Made]) -> Made:
        """Return a dataclass of which each field is called as an option, with what is set here."""
        wanted: Any = kind
        return kind(**{field.name: getattr(self, field.name) for field in fields(wanted)})


@lru_cache
def _known(kind: Any) -> dict[str, Range | tuple[str, ...]]:
    """Return the range of each option that is a number, and the words of each that is one."""
    known: dict[str, Range | tuple[str, ...]] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if get_origin(hint) is not Annotated:
            continue
        kind_of_value, help = get_args(hint)
        if get_origin(kind_of_value) is Literal:
            known[name] = get_args(kind_of_value)
        elif help.within:
            known[name] = help.within
    return known


class Help:
    """What `--help` says of an option, and how it is typed besides `--its-name`.

    names: more of them, as "-d". value: what stands for its value; by default as its type says.
    separator: of a list in one word; without, the option is repeated. parse: makes the value of
    the word. within: the numbers that it takes. variable: of the environment, where SSCD_ITS_NAME
    means something else to other commands.
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
        variable: str = "",
    ) -> None:
        self.text = text
        self.names = names
        self.value = value
        self.separator = separator
        self.parse = parse
        self.within = within
        self.variable = variable


class Argument(Help):
    """The same of a word that is known by its place; `value` is its name."""

    positional = True
