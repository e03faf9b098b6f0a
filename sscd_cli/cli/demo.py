"""`sscd demo`."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from sscd_cli.cli import terminal
from sscd_cli.options.demo import DemoOptions

if TYPE_CHECKING:
    from sscd_cli.commands.demo import DemoStep

_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def demo(options: DemoOptions) -> None:
    """Show the whole chain, on pictures of its own, in a minute.

    Example: sscd demo

    All happens in a new temporary folder, and each command is shown as one types it.
    """
    from sscd_cli.commands import demo as verb

    result = verb.run(_begin, _announce)
    terminal.print_data(_how_to_go_on(result.page, opened=options.open and _show(result.page)))


def _begin(photos: Path, originals: int, copies: int) -> None:
    terminal.print_data(
        f"{originals} pictures, {copies} copies of them and a torn file, in\n{photos}"
    )


def _announce(step: DemoStep) -> None:
    terminal.print_data(f"\n{step.purpose}\n$ {step.line}")


def _show(page: Path) -> bool:
    """Open a page, and say whether it could be; never a browser that takes the terminal."""
    if sys.platform != "darwin" and not any(map(os.environ.get, _SCREENS)):
        return False
    return webbrowser.open(page.as_uri())


def _how_to_go_on(page: Path, *, opened: bool) -> str:
    return (
        f"\n{'The page is open' if opened else 'Open the page'}: {page}\n"
        "What you decide there is saved as decisions.jsonl.\n"
        "To act on it:\n"
        f"$ cd {page.parent}\n"
        "$ sscd apply report.jsonl --go \\\n"
        "    --decisions ~/Downloads/decisions.jsonl\n"
        f"When you have seen enough: rm -r {page.parent}"
    )
