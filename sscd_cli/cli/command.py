"""From a function and its classes of options to a command of Typer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import MISSING, fields, is_dataclass
from functools import partial
from inspect import Parameter, Signature, signature
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperArgument, TyperCommand

from sscd_cli.cli import combinations, terminal
from sscd_cli.cli.completion import completer
from sscd_cli.cli.values import Parsed, filled, parser
from sscd_cli.errors import SscdError
from sscd_cli.machines.hardware import memory_limit
from sscd_cli.options.help import Help
from sscd_cli.text import bytes_text

_NO_BRACES = str.maketrans("", "", "{}")
_VALUES: dict[Any, str] = {int: "NUMBER", float: "NUMBER", str: "TEXT", Path: "FILE"}

LEAST_MEMORY = 1 << 30  # below, libraries end the process in words of their own


def add(
    group: typer.Typer,
    function: Callable[..., None],
    name: str | None = None,
    *,
    computes: bool = False,
    first: Sequence[str] = (),
) -> None:
    """Add to a group the command that a function is, see `spread`.

    computes: it computes, which takes `LEAST_MEMORY`. first: the options that its help begins with.
    """
    kind = type("Command", (_Command,), {"first": first})
    group.command(name, cls=kind)(spread(function, computes=computes))


def group(help: str) -> typer.Typer:
    """Return a group of commands, which without one of them shows its help."""
    made = typer.Typer(
        help=help, rich_markup_mode=None, add_help_option=False, suggest_commands=False
    )

    def ask(context: typer.Context, help: terminal.GroupHelp = False) -> None:
        terminal.ask_for_command(context)

    made.callback(invoke_without_command=True, help=help)(ask)
    return made


def _check_ground(least_memory: int) -> None:
    """Raise SscdError where libraries would end the process in words of their own."""
    try:
        os.getcwd()  # noqa: PTH109  # here it is to fail
    except OSError:
        what = "the working directory is gone"
        raise SscdError(what, "cd to a folder that is there") from None
    limit = memory_limit()
    if limit is not None and limit < least_memory:
        what = f"ulimit -v leaves {bytes_text(limit)} of memory"
        raise SscdError(what, "raise it to 2 GB or more")


def spread(
    function: Callable[..., None], *, common: bool = True, computes: bool = False
) -> Callable[..., None]:
    """Return a function as Typer wants it, with one parameter for each option.

    A parameter with a `Help` is an option. One that is a class of options stands for those of its
    fields that have a `Help`, and the function gets an object of the class. Options of one name
    are one, as the function itself describes it if it does. Those of a class that is annotated
    with a title stand under it in the help. common: those of `terminal.State` are options, too.
    computes: as in `add`.
    """
    hints = get_type_hints(function, include_extras=True)
    own = signature(function).parameters
    classes = {name: kind for name, hint in hints.items() if is_dataclass(kind := _bare(hint))}
    defaults = {n: p.default for n, p in own.items() if p.default is not Parameter.empty}
    parameters = list(_parameters(own, hints, [terminal.State] if common else []))
    if "context" not in own:
        parameters.append(_parameter("context", typer.Context, Parameter.empty))
    formats = _formats(parameters)

    def run(**given: Any) -> None:
        context = given["context"]
        typed = _typed(context)
        command = context.command_path.partition(" ")[2]
        combinations.check(command, given, typed)
        for name, known in formats.items():
            output = given.get("output")
            given[name] = combinations.format_of(command, output, given[name], known, typed)
        plain = {name: _plain(value) for name, value in given.items() if value is not None}
        values = defaults | plain
        if common:
            terminal.state = _made(terminal.State, values)
        _check_ground(LEAST_MEMORY if computes else 0)
        objects = {name: _made(kind, values) for name, kind in classes.items()}
        with terminal.watched() if computes else nullcontext():
            function(**{name: values[name] for name in own.keys() - objects.keys()}, **objects)

    run.__name__, run.__doc__ = function.__name__, function.__doc__
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _typed(context: Any) -> dict[str, str]:
    """Return the options that stand on the command line, each as it is spelled."""
    return {
        option.name: _spelled(option, context.params[option.name])
        for option in context.command.params
        if getattr(context.get_parameter_source(option.name), "name", "") == "COMMANDLINE"
    }


def _spelled(option: Any, value: Any) -> str:
    if isinstance(option, TyperArgument):
        return str(option.metavar)
    names: list[str] = option.secondary_opts if value is False else option.opts
    return max(names, key=len)


def _formats(parameters: Sequence[Parameter]) -> dict[str, Sequence[str]]:
    """Return the options that say how an output is written, with the words they take."""
    known: dict[str, Sequence[str]] = {
        parameter.name: get_args(get_args(parameter.annotation)[0])
        for parameter in parameters
        if parameter.name in ("format", "model_format")
    }
    return known if any(parameter.name == "output" for parameter in parameters) else {}


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _made(kind: Any, values: Mapping[str, Any]) -> Any:
    """Make a class of options of some values; the rest takes its default."""
    names = {field.name for field in fields(kind)}
    return kind(**{name: values[name] for name in names & values.keys()})


def _parameters(
    own: Mapping[str, Parameter], hints: Mapping[str, Any], more: list[Any]
) -> Iterator[Parameter]:
    """Yield each option once, those of a class in its place."""
    seen = set(own)
    for name, parameter in own.items():
        if is_dataclass(_bare(hints[name])):
            yield from _parameters_of(hints[name], seen)
        else:
            yield _parameter(name, hints[name], parameter.default)
    for kind in more:
        yield from _parameters_of(kind, seen)


def _parameters_of(hint: Any, seen: set[str]) -> Iterator[Parameter]:
    title = hint.__metadata__[0] if get_origin(hint) is Annotated else None
    hints = get_type_hints(_bare(hint), include_extras=True)
    for field in fields(_bare(hint)):
        if field.name not in seen and get_origin(hints[field.name]) is Annotated:
            seen.add(field.name)
            default = Parameter.empty if field.default is MISSING else field.default
            yield _parameter(field.name, hints[field.name], default, title)


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _parameter(name: str, hint: Any, default: Any, title: str | None = None) -> Parameter:
    """Return what Typer makes an option of; its own context it takes as it is."""
    if get_origin(hint) is not Annotated:
        return Parameter(name, Parameter.KEYWORD_ONLY, annotation=hint)
    kind, help = get_args(hint)
    if get_origin(kind) in (Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not NoneType)
    if get_origin(kind) is tuple:
        kind = str if help.separator else list[get_args(kind)[0]]  # type: ignore[misc]
        default = help.separator.join(default) if help.separator else default or None
    described = _typer_parameter(name, kind, help, default)
    described.rich_help_panel = title
    annotation = Annotated[kind, described]  # type: ignore[valid-type]
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _typer_parameter(name: str, kind: Any, help: Help, default: Any) -> Any:
    """Return what Typer shall know of an option or an argument besides its type and default."""
    parse = help.parse or parser(name, kind, help.separator)
    settings: dict[str, Any] = {
        "help": help.text,
        "parser": parse if help.separator or default == "" else filled(parse),
        "show_default": default is not None,
        "envvar": help.variable or f"SSCD_{name.upper()}",
        "show_envvar": False,
        "autocompletion": completer(name, help.separator),
    }
    if help.positional:
        if default in (None, Parameter.empty):  # words that no variable stands for
            settings["envvar"] = None
        return typer.Argument(metavar=help.value, **settings)
    typed = f"--{name.replace('_', '-')}"
    if default is True:
        typed += f"/--no-{name.replace('_', '-')}"
    metavar = None if kind is bool else help.value or _VALUES.get(kind, "WORD")
    return typer.Option(typed, *help.names, metavar=metavar, **settings)


class _Command(TyperCommand):
    """A command whose help names arguments without their types and options under titles.

    first: the options that stand before all others, as most people need no more.
    """

    first: Sequence[str] = ()

    def get_params(self, ctx: Any) -> list[Any]:
        """Return what may be typed, each with its own parser; Typer's --help has none."""
        options: list[Any] = super().get_params(ctx)
        for option in options:
            parse = option.type_descriptor.parameter_info.parser or bool
            option.get_runtime_param = partial(Parsed, parse)
        return options

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what follows the command's name, without Typer's braces."""
        return [piece.translate(_NO_BRACES) for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write what the words of the command line mean."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        rest = "More options" if self.first else "Options"
        options = {option.name: option for option in self.get_params(ctx)}
        for name in dict.fromkeys([*self.first, *options]):
            option = options[name]
            if (record := option.get_help_record(ctx)) is None:
                continue
            if isinstance(option, TyperArgument):
                sections["Arguments"].append((option.metavar or "", record[1]))
                continue
            title = getattr(option, "rich_help_panel", None) or rest
            sections.setdefault("Options" if name in self.first else title, []).append(record)
        for title, lines in sections.items():
            if lines:
                with formatter.section(title):
                    formatter.write_dl(lines)
