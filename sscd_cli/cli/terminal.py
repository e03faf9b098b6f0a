"""What a person sees while a command runs: progress and notes on stderr, data on stdout."""

from __future__ import annotations

import os
import shutil
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from sscd_cli.choices import PLAIN
from sscd_cli.cli.progress import Watcher, wants_lines
from sscd_cli.cli.screen import Screen, fitted, has_colours, painted, reflowed
from sscd_cli.errors import SscdError, cannot_write, printable
from sscd_cli.options.help import Help
from sscd_cli.storage.files import ANOTHER, output_file

LONGEST_LINE = 100  # of a page, as it is written


@dataclass
class State:
    """How much a command says."""

    quiet: Annotated[bool, Help("No progress and no summary on stderr.", "-q")] = False
    progress: Annotated[
        bool, Help("Where stderr is no terminal, say every 30 s how far it is; in CI by default.")
    ] = False
    debug: Annotated[bool, Help("Show the traceback of an error.")] = False
    watcher: Watcher | None = None  # who shows how far it is, if anybody


state = State()
command_line = "sscd"  # as it was typed, for reports


def ask_for_command(context: typer.Context) -> None:
    """Show the help on stderr, as for any wrong command line, if no command follows."""
    if context.invoked_subcommand is None:
        _print_on_stderr(context.get_help())
        raise typer.Exit(2)


def _show_help(context: typer.Context, wanted: bool) -> None:
    if wanted:
        print_data(context.get_help())
        raise typer.Exit


# Typer's own help option of a group loads pydantic even where it is not given
GroupHelp = Annotated[
    bool,
    typer.Option(
        "--help", "-h", is_eager=True, callback=_show_help, help="Show this message and exit."
    ),
]


def print_data(text: str) -> None:
    """Print lines on stdout, made printable. Raises: SscdError: see `report_stream`."""
    print_lines(text.split("\n"))


def print_page(page: str) -> None:
    """Print a page of Markdown, filled to the width of the terminal if it goes to one."""
    if is_shown():
        page = reflowed(page, min(shutil.get_terminal_size().columns, LONGEST_LINE))
    print_lines(page.split("\n"), prose=False)


def is_shown() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def print_lines(lines: Iterable[str], *, prose: bool = True) -> None:
    """Print lines on stdout; what a name brings is escaped, and breaks none of them."""
    with report_stream(None, prose=prose) as stream:
        stream.write("".join(f"{printable(line)}\n" for line in lines).encode())


def note(text: str) -> None:
    """Print one line on stderr, unless --quiet."""
    if not state.quiet:
        print_error(text)


def warn(text: str) -> None:
    """Print one warning on stderr, whatever --quiet says."""
    print_error(f"sscd: warning: {text}")


def print_error(text: str) -> None:
    """Print a line on stderr, made printable."""
    _print_on_stderr(printable(text))


def print_traceback() -> None:
    """Print on stderr where the current exception comes from."""
    _print_on_stderr("\n".join(map(printable, traceback.format_exc().splitlines())))


def _print_on_stderr(text: str) -> None:
    """Print text on stderr; one that is closed or full stops no command."""
    if sys.stderr is None:
        return  # `print` would take None for stdout, where `xargs rm` may read
    if sys.stderr.isatty():
        text = fitted(text)
    with suppress(OSError), unwatched():
        print(painted(text) if has_colours(sys.stderr) else text, file=sys.stderr, flush=True)


def scale_note(scale: str) -> str:
    """Return what a summary adds where similarities are no plain cosines."""
    return "" if scale == PLAIN else f", {scale}"


def shows_progress() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and not state.quiet


@contextmanager
def watched() -> Iterator[None]:
    """Show what the command is busy with while the context lasts, see `progress`.

    On a terminal that is a line at its foot. Elsewhere a line every half minute with --progress,
    and in CI of runs longer than a minute.
    """
    watcher = None if state.watcher else _watcher()
    if watcher is None:
        yield
        return
    state.watcher = watcher
    try:
        with watcher.watching():
            yield
    finally:
        state.watcher = None


def _watcher() -> Watcher | None:
    if shows_progress():
        return Watcher(sys.stderr, redraws=True)
    quiet_for = wants_lines(state.progress)
    if quiet_for is None or state.quiet or sys.stderr is None:
        return None
    return Watcher(sys.stderr, redraws=False, quiet_for=quiet_for)


def unwatched() -> AbstractContextManager[None]:
    """Take the line of progress away while the context lasts, in which something else is shown."""
    return state.watcher.hidden() if state.watcher else nullcontext()


@contextmanager
def report_stream(
    output: Path | None, *, prose: bool = False, fix: str = ANOTHER
) -> Iterator[BinaryIO]:
    """Yield where a report goes: stdout, or a file that is complete or absent.

    Where the reader of a pipe has closed it the block ends there, quietly, and the command goes
    on: it has read enough, and the exit status is that of the whole report. A device or a named
    pipe is written to in its place, and a link where it leads.
    prose: it is for people, so that a terminal breaks its lines between words. fix: what the user
    can do if the file cannot be written.
    Raises: SscdError: it cannot be written.
    """
    with _own_stdout(prose) if output is None else output_file(output, fix) as stream:
        yield stream


@contextmanager
def _own_stdout(prose: bool) -> Iterator[BinaryIO]:
    if sys.stdout is None:
        raise SscdError("stdout is closed", "name a file with -o")
    try:
        if is_shown():
            screen = Screen(sys.stdout.buffer, colours=has_colours(sys.stdout), prose=prose)
            with unwatched():
                yield screen
                screen.finish()
        else:
            yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except OSError as error:
        # the interpreter flushes once more on its way out
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return
        raise cannot_write("to stdout", error, "send the output somewhere else") from error
