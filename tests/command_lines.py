"""The commands of the tool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command with its full name."""
    from sscd_cli.cli.app import tree

    def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield name, command
        for word, inner in sorted(getattr(command, "commands", {}).items()):
            yield from walk(f"{name} {word}", inner)

    yield from walk("sscd", tree())
