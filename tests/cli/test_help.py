"""What the help of each command says, and of the topics."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_lines import commands
from conftest import Run

import sscd_cli


@pytest.mark.parametrize("words", [[], ["eval"]])
def test_no_command_shows_the_help_on_stderr(sscd: Run, words: list[str]) -> None:
    ran = sscd(*words)
    assert (ran.status, ran.out) == (2, b"")
    assert ran.err.startswith("Usage: sscd")


def test_help_and_version_go_to_stdout(sscd: Run) -> None:
    for word in ("--version", "-V"):
        assert sscd(word).out == f"sscd {sscd_cli.__version__}\n".encode()
    for words in (["--help"], ["-h"], ["dedup", "-h"], ["eval", "self", "--help"]):
        ran = sscd(*words)
        assert (ran.status, ran.err) == (0, "")
        assert ran.out.startswith(b"Usage: sscd")


def test_help_is_a_command_too(sscd: Run) -> None:
    for words in ((), ("dedup",), ("eval",), ("models", "pull")):
        assert sscd("help", *words).out == sscd(*words, "--help").out != b""


def test_models_are_listed_with_and_without_the_word(sscd: Run) -> None:
    for words in ((), ("-f", "jsonl")):
        assert sscd("models", "list", *words).out == sscd("models", *words).out != b""


def test_the_help_of_a_command_begins_with_a_short_sentence_and_an_example() -> None:
    for name, command in commands():
        sentence, _, rest = (command.help or "").partition("\n\n")
        assert sentence.endswith((".", "?")), name
        assert len(sentence) <= 68, f"{name}: a list of commands has no room for it"
        assert hasattr(command, "commands") or rest.startswith(f"Example: {name}"), name


def test_help_says_in_words_what_may_follow_an_option(sscd: Run) -> None:
    for name, _ in commands():
        shown = sscd(*name.split()[1:], "--help").out.decode()
        assert not re.search("<[a-z]", shown), name
        assert not re.search("[{}]", shown.splitlines()[0]), name


def test_help_puts_the_options_of_one_part_under_its_title(sscd: Run) -> None:
    sections = sscd("dedup", "--help").out.decode().split("\n\n")
    report = next(text for text in sections if text.startswith("Report:"))
    assert [word for word in report.split() if word.startswith("--")] == [
        *("--null", "--explain", "--exit-code", "--strict"),
    ]


def test_help_of_dedup_begins_with_what_a_folder_needs(sscd: Run) -> None:
    sections = sscd("dedup", "--help").out.decode().split("\n\n")
    options = next(text for text in sections if text.startswith("Options:"))
    assert [word for word in options.split() if word.startswith("--")] == [
        *("--threshold", "--keep-path", "--exclude", "--format", "--output"),
    ]


def test_help_begins_with_dedup_and_says_that_an_index_is_optional(sscd: Run) -> None:
    shown = sscd("--help").out.decode().partition("Commands:\n")[2]
    assert shown.split()[0] == "dedup"
    assert re.search("^  index .* optional", shown, re.MULTILINE)


def test_lists_of_commands_cut_no_sentence(sscd: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for words in ((), ("eval",), ("models",)):
        assert b"..." not in sscd(*words, "--help").out.split(b"Commands:")[1]


def test_help_lists_the_topics_and_shows_each(sscd: Run) -> None:
    listed = sscd("help").out.decode()
    names = [name for name, _ in commands()]
    pages = sorted((Path(sscd_cli.__file__).parent / "docs").glob("*.md"))
    assert pages
    for path in pages:
        assert re.search(rf"^  {path.stem}  +\S", listed, re.MULTILINE)
        assert f"sscd {path.stem}" not in names, "the help of a command has this name"
        ran = sscd("help", path.stem)
        assert (ran.status, ran.out.decode()) == (0, path.read_text(encoding="utf-8"))


def test_topics_name_commands_and_options_that_there_are(sscd: Run) -> None:
    known = {"sscd"} | {name for name, _ in commands()}
    options = {"--index-url", "--nproc-per-node"}  # of pip, of torchrun
    options |= {word for _, one in commands() for param in one.params for word in param.opts}
    options |= {
        word for _, one in commands() for param in one.params for word in param.secondary_opts
    }
    for path in (Path(sscd_cli.__file__).parent / "docs").glob("*.md"):
        text = path.read_text(encoding="utf-8")
        for command in re.findall(r"`sscd ([a-z]+)", text):
            assert f"sscd {command}" in known, path
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= options, path


def test_help_names_every_default(sscd: Run) -> None:
    shown = " ".join(sscd("dedup", "--help").out.decode().split())
    for default in (
        "descriptors",
        "leader",
        "original,resolution,bytes,format,source,oldest,path",
        "text",
    ):
        assert f"[default: {default}]" in shown
