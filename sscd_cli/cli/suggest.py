"""What someone meant who typed a command or an option that there is not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sscd_cli.choices import nearest
from sscd_cli.cli import topics

# what other tools call it
_COMMANDS = {
    "dedup": "scan find dupes duplicates cluster report",
    "embed": "encode extract features descriptors",
    "filter": "clean prune",
    "apply": "delete remove move act",
    "undo": "restore revert",
    "search": "query lookup",
    "pair": "compare diff similarity",
    "calibrate": "threshold tune",
    "eval": "evaluate benchmark bench test",
    "models pull": "pull download",
    "models list": "model",
    "pull": "download fetch install get",
    "remove": "delete rm uninstall",
    "list": "ls show",
    "verify": "check",
    "export": "convert save",
    "--version": "version",
}
_OPTIONS = {
    "--version": "-v",
    "--debug": "--verbose -v",
    "--threshold": "--similarity --min-similarity --cutoff",
    "--workers": "--jobs -j --threads --num-workers",
    "--device cuda": "--gpu --cuda",
    "--output": "--out --output-dir",
    "--format jsonl": "--json --jsonl",
    "--format csv": "--csv",
    "--format html": "--html",
    "--format text": "--text",
}


def advice(error: Exception, argv: Sequence[str]) -> str:
    """Return what to type instead of a command line that Click refuses, and where help is."""
    context = getattr(error, "ctx", None)
    if context is None:  # of an option that lacks its value
        return f"see sscd {argv[0]} --help"
    found = _meant(error, context)
    question = f"did you mean {found}? " if found else ""
    return f"{question}see {context.command_path} --help"


def _meant(error: Any, context: Any) -> str | None:
    option = getattr(error, "option_name", None)
    if option is not None:
        known = [name for word in context.command.get_params(context) for name in word.opts]
        return _nearest(option, _OPTIONS, known)
    message = str(getattr(error, "message", ""))
    found = re.fullmatch(r"No such command (?:or topic )?'(.*)'\.", message, re.DOTALL)
    if found is None:
        return None
    path = context.command_path
    if context.parent is None and found[1] and Path(found[1]).exists():
        return f"{path} dedup {shlex.quote(found[1])}"
    known = [*context.command.list_commands(context), "--version"]
    near = _nearest(found[1], _COMMANDS, known)
    if near is None and context.parent is None and (topic := nearest(found[1], topics.titles())):
        near = f"help {topic}"
    return near and f"{path} {near}"


def _nearest(word: str, synonyms: dict[str, str], known: Iterable[str]) -> str | None:
    """Return what is known by another name, or else what is spelled like the word."""
    known = list(known)
    for name, others in synonyms.items():
        if name.split()[0] in known and word in others.split():
            return name
    return nearest(word, known)
