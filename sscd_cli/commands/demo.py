"""`sscd demo`: the whole chain on a folder of our own, and each command to type oneself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sscd_cli.edits.sample_folder import draw_sample_folder
from sscd_cli.errors import SscdError, reason_of

PAGE = "review.html"


@dataclass(frozen=True)
class DemoStep:
    """One command of the chain, and what it is for."""

    purpose: str
    arguments: tuple[str, ...]

    @property
    def line(self) -> str:
        """Return what one types."""
        return " ".join(("sscd", *self.arguments))


STEPS = (
    DemoStep("Look: which pictures are copies, and what may go.", ("dedup", "photos")),
    DemoStep(
        "The same as a file, which the next commands read.",
        ("dedup", "-f", "jsonl", "-o", "report.jsonl"),
    ),
    DemoStep(
        "Decide: a page that shows each copy beside what stays.",
        ("review", "report.jsonl", "-o", PAGE),
    ),
    DemoStep("Ask what would be done; nothing is touched yet.", ("apply", "report.jsonl")),
    DemoStep("Act: what may go moves into a hidden folder.", ("apply", "report.jsonl", "--go")),
    DemoStep("Take it back: all is as it was.", ("undo", "report.journal.jsonl")),
)


@dataclass(frozen=True)
class DemoResult:
    """folder: where everything is. page: on which to decide."""

    folder: Path
    page: Path


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a new folder, which stays unless the block fails.

    Raises: SscdError: there is no room for it.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="sscd-demo-")).resolve()
    except OSError as error:
        what = f"cannot make a temporary folder: {reason_of(error)}"
        raise SscdError(what, "set TMPDIR to a folder with room") from None
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def run(
    begin: Callable[[Path, int, int], None], announce: Callable[[DemoStep], None]
) -> DemoResult:
    """Make a temporary folder with `photos` in it, and run each step as if it were typed there.

    begin: told of the photographs, how many originals and how many copies. announce: told of each
    step before it runs; what a step prints goes where ours does.
    Raises: SscdError: there is no room, or a step failed, and has said why; nothing is left.
    """
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("SSCD_", "_SSCD_"))}
    with temporary_folder() as folder:
        begin(folder / "photos", *draw_sample_folder(folder / "photos"))
        for step in STEPS:
            announce(step)
            command = [sys.executable, "-m", "sscd_cli", *step.arguments]
            status = subprocess.run(command, cwd=folder, env=plain, check=False).returncode
            if status:
                what = f"{step.line} ended with {status}"
                raise SscdError(what, "see above, and run sscd demo again")
    return DemoResult(folder, folder / PAGE)
