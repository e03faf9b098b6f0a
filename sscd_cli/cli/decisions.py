"""`sscd decisions`."""

from __future__ import annotations

import json
from typing import Any

from sscd_cli.cli import command, terminal
from sscd_cli.options.decisions import ListDecisionsOptions, MergeOptions, RevokeOptions
from sscd_cli.options.shared import Format
from sscd_cli.text import counted

decisions_app = command.group("List, take back and merge what was decided.")


def list_decisions(options: ListDecisionsOptions, format: Format = "text") -> None:
    """List what holds of each pair of contents.

    Example: sscd decisions list --decisions decisions.jsonl

    The hashes are those of content_hash in reports and descriptors.
    """
    from sscd_cli.commands import decisions as verb

    records = verb.list_records(options)
    lines = map(json.dumps, records) if format == "jsonl" else map(_line, records)
    terminal.print_lines(lines)
    terminal.note(f"{counted(len(records), 'pairs')} decided in {options.decisions}")


def _line(record: Any) -> str:
    stays = f"{record['keeper']} stays" if record["keeper"] else ""
    more = (str(record.get(name) or "") for name in ("when", "who", "note"))
    cells = (f"{record['verdict']:13}", record["left"], record["right"], stays, *more)
    return "  ".join(filter(None, cells))


def revoke(options: RevokeOptions) -> None:
    """Take back what was decided of two images.

    Example: sscd decisions revoke a.jpg b.jpg
    """
    from sscd_cli.commands import decisions as verb

    taken_back = verb.revoke(options)
    terminal.note(f"taken back in {options.decisions}: {taken_back['verdict']}")


def merge(options: MergeOptions) -> None:
    """Add what others decided; the later decision on a pair holds.

    Example: sscd decisions merge ours.jsonl theirs.jsonl
    """
    from sscd_cli.commands import decisions as verb

    result = verb.merge(options)
    terminal.note(
        f"{counted(result.added, 'decisions')} added; "
        f"{counted(result.holding, 'pairs')} decided in {options.decisions}"
    )


command.add(decisions_app, list_decisions, "list")
command.add(decisions_app, revoke)
command.add(decisions_app, merge)
