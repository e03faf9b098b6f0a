"""README is a front page, and what it tells to type works on the shipped gallery."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from conftest import DATA, SSCD, Run

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "tools"))
from bundled_figures import SENTENCES, figures  # noqa: E402

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^(<!-- .* -->\n)?```(sh|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COPIES_FOUND = 1  # what leaks ends with


def blocks(kind: str) -> Iterator[str]:
    """Yield the code of a kind that is to be run; .ci/run installs, as the marked ones say."""
    for mark, found, code in BLOCK.findall(README):
        if found == kind and not mark:
            yield code


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a folder with what the lines of README name."""
    for name in ("photos", "train", "test"):
        shutil.copytree(DATA / "gallery", tmp_path / name)
    for number in (0, 1):
        with tarfile.open(tmp_path / f"shards-{number:03}.tar", "w") as tar:
            for path in sorted((tmp_path / "photos").glob("[ch]*.jpg"))[number::2]:
                tar.add(path, path.name)
    return tmp_path


def test_readme_is_a_front_page() -> None:
    assert len(README.splitlines()) <= 220


@pytest.mark.parametrize("mark", ["install", "test"])
def test_readme_installs_in_one_whole_line(mark: str) -> None:
    found = re.search(rf"^<!-- {mark} -->\n```sh\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert found
    assert found[1].startswith("python3 -m venv ")
    assert found[1].count("\n") == 1


@pytest.mark.parametrize("page", ["README.md", "tests/bench/RESULTS.md", "NOTICE.md"])
def test_links_within_the_project_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target


def test_the_commands_of_readme_run(home: Path, sscd: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSCD_OPEN", "0")  # no browser
    monkeypatch.setenv("TMPDIR", str(home))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("SSCD_SAMPLE", "4")  # quick: calibrate makes fifty copies of each
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    assert len(lines) > 10
    env = os.environ | {"PATH": f"{SSCD.parent}:{os.environ['PATH']}"}
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[0] == "sscd" and not {"|", "&&", ">"} & set(words):
            status = sscd(*words[1:]).status
        else:
            command = ["bash", "-euo", "pipefail", "-c", line]
            status = subprocess.run(command, cwd=home, env=env, check=False).returncode
        assert status in ({0, COPIES_FOUND} if words[1] == "leaks" else {0}), line
    made = (
        "report.jsonl",
        "report.journal.jsonl",
        "review.html",
        "clean-shards",
        "descriptors/threshold.json",
    )
    for name in made:
        assert (home / name).exists(), name


def test_the_python_of_readme_runs(home: Path, sscd: Run) -> None:
    assert sscd("embed", "photos").status == 0
    printed = io.StringIO()
    with redirect_stdout(printed):
        for code in blocks("python"):
            exec(code, {})
    (said,) = re.findall(r"# ([\d.]+): a copy", README)
    assert float(printed.getvalue()) == pytest.approx(float(said), abs=0.02)


def test_texts_say_the_figures_of_the_bundled_network() -> None:
    known = figures()
    for name, sentences in SENTENCES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        for sentence in sentences:
            assert sentence.format(**known) in text, (name, sentence)
