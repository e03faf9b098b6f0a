"""The group `sscd eval`: one command for each way to measure."""

from __future__ import annotations

from sscd_cli.cli import command
from sscd_cli.cli.eval_benchmarks import eval_copydays, eval_disc
from sscd_cli.cli.eval_pairs import eval_pairs
from sscd_cli.cli.eval_self import eval_self

eval_app = command.group("Measure how well copies are found.")
for name, function in (
    ("self", eval_self),
    ("pairs", eval_pairs),
    ("disc", eval_disc),
    ("copydays", eval_copydays),
):
    command.add(eval_app, function, name, computes=True)
