"""What a training run leaves for people: a CSV of its steps and a plot of its curves."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from sscd_cli.errors import cannot_write
from sscd_cli.storage.files import whole_file


@dataclass(frozen=True)
class Validated:
    """What held-out images show: the µAP of edited copies among them, and, with a teacher, the mean
    cosine of whole images to its descriptors of them."""

    validation: float
    validation_cosine: float | None = None


@dataclass(frozen=True)
class StepLog:
    """One logged step. `validation` is the µAP of the held-out images where it was measured.

    With a teacher, `code` is the loss of telling an image's code from others', `cosine` the mean
    one of the views to it, `validation_cosine` that of whole held-out images.
    """

    epoch: int
    step: int
    steps: int
    learning_rate: float
    loss: float
    infonce: float
    entropy: float
    positive: float
    nearest_negative: float
    images_per_second: float
    seconds_left: float
    validation: float | None = None
    code: float | None = None
    cosine: float | None = None
    validation_cosine: float | None = None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write `path` into an SscdError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        fix = "make room or name another --output; --resume goes on from the last checkpoint"
        raise cannot_write(path, error, fix) from error


def append_step(path: Path, step: StepLog) -> None:
    """Add one line to the CSV log, which begins with the field names."""
    with writing(path), path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if not file.tell():
            writer.writerow([field.name for field in fields(StepLog)])
        writer.writerow([_shown(value) for value in asdict(step).values()])


def drop_unfinished_line(path: Path) -> None:
    """Cut a log behind its last whole line: a killed run or a full disk leaves a part of one."""
    with writing(path), suppress(FileNotFoundError), path.open("r+b") as file:
        file.truncate(file.read().rfind(b"\n") + 1)


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def read_steps(path: Path) -> list[StepLog]:
    """Read the log back; a step that was logged twice, after a resume, counts once, the last."""
    steps: dict[int, StepLog] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            numbers = {name: float(text) if text else None for name, text in row.items()}
            step = StepLog(**numbers)  # type: ignore[arg-type]
            steps[int(step.step)] = step
    return [steps[number] for number in sorted(steps)]


def plot_curves(log: Path, picture: Path) -> bool:
    """Draw loss parts, similarities and validation µAP. Returns False without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    steps = read_steps(log)
    figure = Figure(figsize=(8, 9), layout="constrained")
    losses, similarities, quality = figure.subplots(3, sharex=True)
    at = [step.step for step in steps]
    losses.plot(at, [step.infonce for step in steps], label="InfoNCE")
    losses.plot(at, [step.entropy for step in steps], label="entropy (unweighted)")
    losses.set_ylabel("loss")
    similarities.plot(at, [step.positive for step in steps], label="positive pairs")
    similarities.plot(at, [step.nearest_negative for step in steps], label="nearest negative")
    similarities.set_ylabel("similarity")
    measured = [step for step in steps if step.validation is not None]
    quality.plot([s.step for s in measured], [s.validation for s in measured], "o-", label="µAP")
    quality.set_ylabel("held-out µAP")
    quality.set_xlabel("step")
    for axes in (losses, similarities, quality):
        axes.grid(alpha=0.3)
        axes.legend(loc="best")
    with writing(picture), whole_file(picture) as file:
        figure.savefig(file, format="png", dpi=120)
    return True
