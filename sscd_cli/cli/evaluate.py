"""The group `sscd eval`: one command for each way to measure."""

from __future__ import annotations

import typer

from sscd_cli.cli import command, terminal
from sscd_cli.cli.eval_benchmarks import eval_copydays, eval_disc
from sscd_cli.cli.eval_pairs import eval_pairs
from sscd_cli.cli.eval_self import eval_self

eval_app = typer.Typer(
    help="Measure how well copies are found.",
    rich_markup_mode=None,
    add_help_option=False,
    suggest_commands=False,
)
for name, function in (
    ("self", eval_self),
    ("pairs", eval_pairs),
    ("disc", eval_disc),
    ("copydays", eval_copydays),
):
    command.add(eval_app, function, name, works=True)


@eval_app.callback(invoke_without_command=True)
def _eval(context: typer.Context, help: terminal.GroupHelp = False) -> None:
    """Measure how well copies are found."""
    terminal.ask_for_command(context)
