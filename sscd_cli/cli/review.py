"""`sscd review`."""

from __future__ import annotations

from sscd_cli.cli import terminal
from sscd_cli.options.review import ReviewOptions
from sscd_cli.text import counted


def review(options: ReviewOptions) -> None:
    """Decide in a browser what stays and what goes of a report.

    Example: sscd review report.jsonl -o review.html

    The page needs no network and no other file; what is decided on it is saved as
    decisions.jsonl. With --serve it is shown from this machine and writes decisions at once.
    """
    from sscd_cli.commands import review as verb

    result = verb.run(options, terminal.print_data)
    if options.output is not None:
        terminal.note(f"{counted(result.clusters, 'clusters')} to look through in {result.output}")
    else:
        terminal.note(f"{counted(result.decisions, 'decisions')} written to {result.output}")
