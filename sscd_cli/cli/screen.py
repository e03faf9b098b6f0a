"""What a terminal shows: no control characters that a file may bring, and colours of our own."""

from __future__ import annotations

import io
import os
import re
import shutil
import textwrap
from typing import BinaryIO, TextIO

from sscd_cli.errors import printable

_BOLD, _RED, _GREEN, _YELLOW = "1", "31", "32", "33"
_COLOURS = (
    (re.compile("cluster [0-9a-f]{12}"), _BOLD),
    (re.compile("  keep(?= )"), _GREEN),
    (re.compile("  remove(?= )"), _RED),
    (re.compile("  look at(?= )"), _YELLOW),
    (re.compile("sscd: error:"), _RED),
    (re.compile("sscd: warning:"), _YELLOW),
)


def has_colours(stream: TextIO) -> bool:
    """Whether a stream is a terminal that shows colours, and nobody said NO_COLOR."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not plain


def painted(line: str) -> str:
    """Return a line whose first word is coloured if it is one of those that people look for."""
    for pattern, colour in _COLOURS:
        if found := pattern.match(line):
            return f"\x1b[{colour}m{found[0]}\x1b[0m{line[found.end() :]}"
    return line


def fitted(line: str) -> str:
    """Break a line wider than the terminal between words; JSON stays whole, to be copied."""
    columns = shutil.get_terminal_size().columns
    if len(line) <= columns or "\n" in line or line.startswith(("{", "[")):
        return line
    return _filled(line, columns, " " * (len(line) - len(line.lstrip(" ")) + 2))


def reflowed(page: str, columns: int) -> str:
    """Return Markdown filled anew to a width, but for commands, which stay whole to be copied."""
    return "\n\n".join(_block(block, columns) for block in page.split("\n\n"))


def _block(block: str, columns: int) -> str:
    if block.startswith("    "):
        return block
    begins = "\n- " if block.startswith("- ") or "\n- " in block else "\n| "
    first, *items = block.split(begins)
    texts = [first, *(begins[1:] + item for item in items)]
    return "\n".join(
        _filled(" ".join(text.split()), columns, "  " if text.startswith(("- ", "| ")) else "")
        for text in texts
    )


def _filled(line: str, columns: int, indent: str) -> str:
    return textwrap.fill(
        line, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


class Screen(io.BytesIO):
    """A terminal as a stream that reports are written to."""

    def __init__(self, out: BinaryIO, *, colours: bool, prose: bool) -> None:
        super().__init__()
        self._out = out
        self._paint = painted if colours else str
        self._fit = fitted if prose else str
        self._rest = b""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Show all lines that are complete, as `errors.printable` has them."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._show(line, "\n")
        return len(data)

    def finish(self) -> None:
        """Show what had no line feed."""
        self._show(self._rest, "")
        self._rest = b""

    def _show(self, line: bytes, end: str) -> None:
        text = printable(line.decode("utf-8", "surrogateescape"))
        self._out.write(f"{self._paint(self._fit(text))}{end}".encode())
