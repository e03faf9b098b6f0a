"""`sscd train`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sscd_cli.choices import SHOWN_ERRORS
from sscd_cli.cli import terminal
from sscd_cli.cli.models import fetch_if_missing
from sscd_cli.options.train import TrainOptions
from sscd_cli.text import counted

if TYPE_CHECKING:
    from sscd_cli.commands.train import TrainResult
    from sscd_cli.training.log import StepLog


def train(options: TrainOptions) -> None:
    """Train a network on images, with the paper's views and loss.

    Example: sscd train ./photos -o ./run

    The defaults are for a GPU. On several:
    torchrun --nproc-per-node N -m sscd_cli train …
    """
    from sscd_cli.commands import train as verb

    for name in (options.init, options.teacher):
        if name:
            fetch_if_missing(name)
    _summarise(verb.run(options, _show))


def _summarise(result: TrainResult) -> None:
    for name in result.unreadable[:SHOWN_ERRORS]:
        terminal.note(f"unreadable, replaced by another image: {name}")
    more = len(result.unreadable) - SHOWN_ERRORS
    if more > 0:
        terminal.note(f"unreadable: and {more:,} more")
    if not result.is_first:
        return
    terminal.note(
        f"{result.model}: trained on {counted(result.images, 'images')}; log in {result.log}"
    )
    terminal.note(_threshold_line(result))
    if result.curves is None:
        terminal.note("no plot of the curves: pip install 'sscd-cli[plot]'")


def _threshold_line(result: TrainResult) -> str:
    held_out = counted(result.held_out, "held-out images")
    if result.threshold is None:
        return f"no threshold: {held_out} do not show one; name one with -t"
    return f"threshold {result.threshold:.4g}: no two of {held_out} reach it"


def _show(step: StepLog) -> None:
    if step.validation is not None:
        cosine = step.validation_cosine
        near = "" if cosine is None else f", cosine to the teacher {cosine:.4f}"
        terminal.note(f"epoch {step.epoch}: held-out µAP {step.validation:.4f}{near}")
        return
    left = timedelta(seconds=round(step.seconds_left))
    taught = "" if step.code is None else f"code {step.code:.3f}, cosine {step.cosine:.3f}, "
    speed = counted(round(step.images_per_second), "images")
    terminal.note(
        f"epoch {step.epoch} step {step.step}/{step.steps}: loss {step.loss:.3f} "
        f"({taught}InfoNCE {step.infonce:.3f}, entropy {step.entropy:.3f}), similarity of "
        f"positives {step.positive:.3f}, nearest negative {step.nearest_negative:.3f}; "
        f"{speed}/s, {left} left"
    )
