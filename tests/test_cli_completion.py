"""Completion: the shipped scripts are what the command prints, and its answers are right."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import SSCD

FOLDER = Path(__file__).parents[1] / "completions"
SCRIPTS = {"bash": "sscd.bash", "zsh": "_sscd", "fish": "sscd.fish"}


def ask(**variables: str) -> str:
    env = {**os.environ, **variables}
    return subprocess.run([SSCD], env=env, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_shipped_script_is_current(shell: str) -> None:
    """Renew it with `_SSCD_COMPLETE=source_SHELL sscd > completions/NAME`."""
    assert (FOLDER / SCRIPTS[shell]).read_text() == ask(_SSCD_COMPLETE=f"source_{shell}")


def test_bash_completes_commands_and_options() -> None:
    protocol = {"_SSCD_COMPLETE": "complete_bash"}
    assert ask(COMP_WORDS="sscd de", COMP_CWORD="1", **protocol).split() == ["dedup"]
    options = ask(COMP_WORDS="sscd dedup --exi", COMP_CWORD="2", **protocol).split()
    assert options == ["--exit-code", "--exif"]
    words = ask(COMP_WORDS="sscd dedup --linkage co", COMP_CWORD="3", **protocol).split()
    assert words == ["components", "complete"]


def test_zsh_and_fish_complete_commands() -> None:
    args = {"_TYPER_COMPLETE_ARGS": "sscd de"}
    assert '"dedup":"Report clusters of copies' in ask(_SSCD_COMPLETE="complete_zsh", **args)
    fish = {"_SSCD_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert ask(**fish, **args).startswith("dedup\tReport clusters of copies")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_real_bash_completes_with_the_shipped_script() -> None:
    script = (
        f"source {FOLDER}/sscd.bash; COMP_WORDS=(sscd de); COMP_CWORD=1; "
        f'_sscd_completion {SSCD}; echo "${{COMPREPLY[@]}}"'
    )
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "dedup\n"
