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
    "--go": "--force --execute --no-dry-run -y",
}
# what `sscd apply` does, and other tools do at once
_ACTS = ("--delete", "--move", "--remove", "--trash", "--link")
# what is so in any case
_NEEDLESS = {
    ("dedup", "--recursive"): "folders are read with all folders in them",
    ("embed", "--recursive"): "folders are read with all folders in them",
    ("dedup", "--dry-run"): "only sscd apply --go moves or deletes anything",
    ("apply", "--dry-run"): "only --go moves or deletes anything",
}


def advice(error: Exception, argv: Sequence[str]) -> str:
    """Return what to type instead of a command line that Click refuses, and where help is."""
    context = getattr(error, "ctx", None)
    if context is None:  # of an option that lacks its value
        return f"see sscd {argv[0]} --help"
    option = getattr(error, "option_name", None)
    if needless := _NEEDLESS.get((str(context.info_name), str(option))):
        return f"{needless}, leave out {option}"
    found = _meant(error, context) if option is None else _option(option, context, argv)
    question = f"did you mean {found}? " if found else ""
    return f"{question}see {context.command_path} --help"


def _option(option: str, context: Any, argv: Sequence[str]) -> str | None:
    """Return what is meant by an option that a command lacks."""
    if context.parent is None and (command := _command_with(option, context, argv)):
        return f"{context.command_path} {command} {option}"
    if option in _ACTS and context.info_name == "dedup":
        return "sscd apply"
    return _nearest(option, _OPTIONS, _options(context.command, context))


def _command_with(option: str, context: Any, argv: Sequence[str]) -> str | None:
    """Return the command on the line, before which an option of it stands."""
    for word in argv:
        if (command := context.command.get_command(context, word)) is not None:
            return word if option in _options(command, context) else None
    return None


def _options(command: Any, context: Any) -> list[str]:
    return [name for word in command.get_params(context) for name in word.opts]


def _meant(error: Any, context: Any) -> str | None:
    message = str(getattr(error, "message", ""))
    found = re.fullmatch(r"No such command (?:or topic )?'(.*)'\.", message, re.DOTALL)
    if found is None:
        return None
    path = context.command_path
    if context.parent is None and found[1] and Path(found[1]).exists():
        return f"{path} dedup {shlex.quote(found[1])}"
    known = [*context.command.list_commands(context), "--version"]
    near, asks = _nearest(found[1], _COMMANDS, known), "topic" in message
    if context.parent is None and (near is None or asks):
        page = nearest(found[1], topics.titles()) or (asks and near)
        near = f"help {page}" if page and not page.startswith("-") else near
    return near and f"{path} {near}"


def _nearest(word: str, synonyms: dict[str, str], known: Iterable[str]) -> str | None:
    """Return what is known by another name, or else what is spelled like the word."""
    known = list(known)
    for name, others in synonyms.items():
        if name.split()[0] in known and word in others.split():
            return name
    return nearest(word, known)
