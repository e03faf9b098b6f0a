"""What a person sees while a command runs: progress and notes on stderr, data on stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer

from sscd_cli.errors import SscdError, printable

if TYPE_CHECKING:
    from sscd_cli.embed import EmbedResult


@dataclass
class State:
    """What --quiet and --debug said."""

    quiet: bool = False
    debug: bool = False


state = State()


def note(text: str) -> None:
    """Print one line on stderr, unless --quiet."""
    if not state.quiet:
        print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Print one warning on stderr, whatever --quiet says."""
    print(f"sscd: warning: {printable(text)}", file=sys.stderr, flush=True)


def shows_progress() -> bool:
    return sys.stderr.isatty() and not state.quiet


@contextmanager
def embed_progress() -> Iterator[Callable[[EmbedResult], None]]:
    """Show a bar of images on a terminal while the context lasts."""
    if not shows_progress():
        yield lambda result: None
        return
    from tqdm import tqdm

    with tqdm(unit=" images", file=sys.stderr, dynamic_ncols=True, smoothing=0.05) as bar:

        def update(result: EmbedResult) -> None:
            done = result.embedded + result.copies + result.unreadable + result.unchanged
            bar.set_postfix(unreadable=result.unreadable, refresh=False)
            bar.update(done - bar.n)

        yield update


@contextmanager
def report_stream(output: Path | None) -> Iterator[BinaryIO]:
    """Yield where a report goes: stdout, or a file that is complete or absent.

    A pipe that its reader closed ends the command quietly, with exit status 0.
    """
    if output is None:
        try:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # the interpreter flushes once more on its way out
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        return
    part = output.with_name(f".{output.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(output)
    except OSError as error:
        raise SscdError(
            f"cannot write {output}: {error.strerror or error}", "name another file with -o"
        ) from error
    finally:
        part.unlink(missing_ok=True)
