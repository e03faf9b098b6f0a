"""The application: its commands, and what their failures become."""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from functools import cache, partial
from typing import Annotated, Any

import typer

from sscd_cli.cli import command, completion, stopping, suggest, terminal, topics
from sscd_cli.cli.apply import apply, undo
from sscd_cli.cli.calibrate import calibrate
from sscd_cli.cli.decisions import decisions_app
from sscd_cli.cli.dedup import FIRST, dedup
from sscd_cli.cli.demo import demo
from sscd_cli.cli.embed import embed
from sscd_cli.cli.evaluate import eval_app
from sscd_cli.cli.filter import filter
from sscd_cli.cli.fit import fit
from sscd_cli.cli.index import index, search
from sscd_cli.cli.leaks import leaks
from sscd_cli.cli.models import models_app
from sscd_cli.cli.pair import pair
from sscd_cli.cli.review import review
from sscd_cli.cli.train import train
from sscd_cli.errors import SscdError, SscdWarning, printable
from sscd_cli.machines.hardware import lacking, share_cores
from sscd_cli.options.help import Argument
from sscd_cli.text import VERSION

_LACKS = {
    "memory": "out of memory; use a smaller --batch-size or fewer --workers",
    "open files": "too many open files; raise the limit (ulimit -n) or use fewer --workers",
    "threads": "no more threads; raise the limits (ulimit -u, ulimit -v) or use fewer --workers",
}
INTERRUPTED = 130  # as Typer has it, whatever the signal
LONGEST = 200  # characters of what Click says

app = typer.Typer(
    name="sscd",
    cls=topics.TopicGroup,
    help="Find edited copies in image datasets with SSCD descriptors.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    # Typer's own options for both would load pydantic for every command
    add_completion=False,
    add_help_option=False,
    suggest_commands=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
# as a folder is worked through: find, decide, act, take back; then what most people never need
command.add(app, dedup, computes=True, first=FIRST)
for function in (
    *(review, apply, undo, filter, leaks, pair, search),
    *(demo, embed, index, calibrate, fit, train),
):
    command.add(app, function, computes=True)
app.add_typer(decisions_app, name="decisions")
app.add_typer(eval_app, name="eval")
app.add_typer(models_app, name="models")


# Typer names no base class of what Click raises for a wrong command line
_CommandLineError: type[Exception] = typer.BadParameter.__bases__[0]


def help(
    command: Annotated[
        tuple[str, ...],
        Argument("A command, such as models pull, or a topic of the list.", value="COMMAND|TOPIC"),
    ] = (),
) -> None:
    """Show the help of a command, or the page of a topic.

    Example: sscd help dedup
    """
    if len(command) == 1 and (page := topics.page(command[0])):
        terminal.print_page(page.rstrip("\n"))
        return
    try:
        tree()(args=[*command, "--help"], prog_name="sscd", standalone_mode=False)
    except _CommandLineError as error:
        if len(command) == 1:
            error.message = f"{error}".replace("command", "command or topic", 1)  # type: ignore[attr-defined]
        raise


command.add(app, help)


def _print_version(wanted: bool) -> None:
    if wanted:
        terminal.print_data(f"sscd {VERSION}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _sscd(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_print_version, help="Show the version.")
    ] = False,
    help: terminal.GroupHelp = False,
) -> None:
    """Find edited copies in image datasets with SSCD descriptors."""
    terminal.ask_for_command(context)


@cache
def tree() -> Any:
    """Return all commands as Click knows them, which Typer takes 20 ms to make."""
    return typer.main.get_command(app)


def run_alone(argv: Sequence[str]) -> int:
    """Run the command line of this process, to which signals are sent."""
    stopping.end_as_ctrl_c_does()
    share_cores()
    warnings.showwarning = partial(_show_warning, warnings.showwarning)
    return run(argv)


def _show_warning(other: Any, message: Warning | str, category: type[Warning], *where: Any) -> None:
    """Show a warning of ours in one line, and any other as Python does."""
    if issubclass(category, SscdWarning):
        terminal.warn(str(message))
    else:
        other(message, category, *where)


def run(argv: Sequence[str]) -> int:  # noqa: PLR0911  # one for each ending
    """Run one command line and return its exit status."""
    terminal.state = terminal.State()
    terminal.command_line = shlex.join(["sscd", *argv])
    asked = os.environ.get(completion.VARIABLE)
    if asked:
        completion.make_shells_known()
    try:
        if asked in completion.SCRIPTS:
            terminal.print_data(completion.SCRIPTS[asked].rstrip("\n"))
            return 0
        status = tree()(args=list(argv), prog_name="sscd", standalone_mode=False)
    except SscdError as error:
        return _fail(str(error), error.exit_code)
    except _CommandLineError as error:
        return _fail(f"{_sentence(error)}; {suggest.advice(error, argv)}", 2)
    except SystemExit as error:
        # not stdout's, which ends no command (see `terminal.report_stream`): a worker's, a server's
        if isinstance(error.__context__, BrokenPipeError) and not asked:
            return _fail("a connection broke; run the same command again", 3)
        return error.code if isinstance(error.code, int) else 3
    except Exception as error:
        return _fail(_unforeseen(error), 3)
    if status == INTERRUPTED:
        return _fail(*stopping.interrupted())
    return status if isinstance(status, int) else 0


def _fail(text: str, status: int) -> int:
    if terminal.state.debug and sys.exception():
        terminal.print_traceback()
    terminal.print_error(f"sscd: error: {text}")
    return status


def _unforeseen(error: Exception) -> str:
    """Return what is wrong and what to do where no command has words for it."""
    if lack := lacking(error):
        return _LACKS[lack]
    if isinstance(error, ImportError):
        return f"cannot load {error.name or 'a library'}: {error}; install sscd-cli again"
    if isinstance(error, OSError):
        place = f"cannot use {os.fsdecode(error.filename)}: " if error.filename else ""
        return f"{place}{error.strerror or error}; see to that and run the same command again"
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"unexpected {text}; add --debug and report what it shows"


def _sentence(error: Exception) -> str:
    """Return what Click says is wrong, as we say it: one line, no capital, no full stop."""
    param, context = getattr(error, "param", None), getattr(error, "ctx", None)
    if param is not None and context is not None:
        source = context.get_parameter_source(param.name)
        if source is not None and source.name == "ENVIRONMENT":
            error.param_hint = param.envvar  # type: ignore[attr-defined]
    error.possibilities = None  # type: ignore[attr-defined]  # see `suggest`
    text: str = getattr(error, "format_message", error.__str__)()
    text = text.strip().rstrip(".")
    if len(text) > LONGEST:  # `sscd pair *.jpg`: Click names every file
        text = f"{text[:LONGEST]} …"
    return printable(text[:1].lower() + text[1:]) or "no command given"
