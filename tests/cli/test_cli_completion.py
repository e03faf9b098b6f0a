"""Completion: the shipped scripts are what the command prints, and its answers are right."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import SSCD

FOLDER = Path(__file__).parents[2] / "completions"
SCRIPTS = {"bash": "sscd.bash", "zsh": "_sscd", "fish": "sscd.fish"}
ENVIRONMENT = {**os.environ, "PATH": f"{SSCD.parent}:{os.environ['PATH']}"}


def ask(**variables: str) -> str:
    env = {**os.environ, **variables}
    return subprocess.run([SSCD], env=env, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_shipped_script_is_current(shell: str) -> None:
    """Renew it with `_SSCD_COMPLETE=source_SHELL sscd > completions/NAME`."""
    assert (FOLDER / SCRIPTS[shell]).read_text() == ask(_SSCD_COMPLETE=f"source_{shell}")


def test_bash_completes_commands_and_options() -> None:
    protocol = {"_SSCD_COMPLETE": "complete_bash"}
    assert ask(COMP_WORDS="sscd ded", COMP_CWORD="1", **protocol).split() == ["dedup"]
    options = ask(COMP_WORDS="sscd dedup --exi", COMP_CWORD="2", **protocol).split()
    assert options == ["--exit-code", "--exif"]
    words = ask(COMP_WORDS="sscd dedup --linkage co", COMP_CWORD="3", **protocol).split()
    assert words == ["components", "complete"]


def test_zsh_and_fish_complete_commands() -> None:
    args = {"_TYPER_COMPLETE_ARGS": "sscd de"}
    assert '"dedup":"Report clusters of copies' in ask(_SSCD_COMPLETE="complete_zsh", **args)
    fish = {"_SSCD_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert ask(**fish, **args).startswith("dedup\tReport clusters of copies")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sscd embed --model sscd_disc_m", ["sscd_disc_mixup"]),
        ("sscd pair -m sscd_m", ["sscd_mini"]),
        ("sscd embed --device c", ["cpu", "cuda"]),
        ("sscd search --precision f", ["fp32", "fp16"]),
        ("sscd dedup --keep pa", ["path"]),
        ("sscd dedup --keep path,ne", ["path,newest"]),
        ("sscd dedup -t a", ["auto"]),
        ("sscd models pull sscd_imagenet_b", ["sscd_imagenet_blur"]),
        ("sscd models export sscd_mini -f on", ["onnx"]),
    ],
)
def test_values_are_completed(line: str, words: list[str]) -> None:
    last = len(line.split()) - 1
    found = ask(_SSCD_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(last))
    assert found.split() == words


# for a session that the shells complete in, each loads the shipped script as README says
SESSIONS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(_SSCD_COMPLETE=source_bash sscd)"'),
    "zsh": (
        ["zsh", "-f", "-i"],
        'autoload -Uz compinit && compinit -D -u; eval "$(_SSCD_COMPLETE=source_zsh sscd)"',
    ),
    "zsh from $fpath": (
        ["zsh", "-f", "-i"],
        f"fpath=({FOLDER} $fpath); autoload -Uz compinit && compinit -D -u",
    ),
}


@pytest.mark.parametrize("session", SESSIONS)
def test_a_real_shell_loads_the_script_and_completes(session: str, tmp_path: Path) -> None:
    words, load = SESSIONS[session]
    needs(words[0])
    with Shell(words, tmp_path) as shell:
        shell.type(f"{load}\n", until="ready> ", times=2)
        shell.type("sscd ded\t", until="dedup ")
        shell.type("--link\t", until="--linkage ")
        shell.type("lea\t", until="leader ")
        shell.type("-m sscd_disc_mi\t", until="sscd_disc_mixup")


def test_a_real_fish_loads_the_script_and_completes() -> None:
    needs("fish")
    script = (
        "_SSCD_COMPLETE=source_fish sscd | source; complete -C 'sscd ded';"
        "complete -C 'sscd dedup --linkage lea'; complete -C 'sscd pair -m sscd_disc_mi'"
    )
    ran = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = [line.split("\t")[0] for line in ran.stdout.splitlines()]
    assert found == ["dedup", "leader", "sscd_disc_mixup"]


def needs(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")


class Shell:
    """An interactive shell on a terminal of its own."""

    def __init__(self, words: list[str], home: Path) -> None:
        self._ours, its = pty.openpty()
        env = {**ENVIRONMENT, "HOME": str(home), "TERM": "dumb", "PS1": "ready> "}
        self._process = subprocess.Popen(
            words, stdin=its, stdout=its, stderr=its, env=env, start_new_session=True
        )
        os.close(its)
        self._shown = ""

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *error: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._ours)

    def type(self, text: str, *, until: str, times: int = 1) -> None:
        """Type text, and read until the screen shows what is waited for."""
        os.write(self._ours, text.encode())
        deadline = time.monotonic() + 60
        while self._shown.count(until) < times:
            ready, _, _ = select.select([self._ours], [], [], deadline - time.monotonic())
            assert ready, self._shown
            self._shown += os.read(self._ours, 4096).decode(errors="replace")
