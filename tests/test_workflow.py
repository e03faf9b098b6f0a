"""The workflow that README has to copy does what it says, step by step."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA, SSCD

ROOT = Path(__file__).parents[1]
Steps = list[dict[str, Any]]
INSTALLS = "pip install "  # what is installed here already


def steps_of(text: str) -> Steps:
    """Return the steps of the one job in a page's workflow."""
    yaml = pytest.importorskip("yaml")
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    (job,) = yaml.safe_load(block)["jobs"].values()
    return list(job["steps"])


def run(steps: Steps, home: Path) -> tuple[int, str]:
    """Run the lines of the steps as a runner does; return the first failure and what is printed.

    After a failure only the steps run that always do.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SSCD_")}
    environment |= {
        "PATH": f"{SSCD.parent}:{environment['PATH']}",
        "PYTHONPATH": str(ROOT),
        "GITHUB_STEP_SUMMARY": str(home / "summary.md"),
    }
    failed, printed = 0, ""
    for step in steps:
        line = step.get("run", "")
        if not line or line.startswith(INSTALLS) or (failed and step.get("if") != "always()"):
            continue
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", line]
        ran = subprocess.run(
            words, cwd=home, env=environment, check=False, capture_output=True, text=True
        )
        failed, printed = failed or ran.returncode, printed + ran.stdout
    return failed, printed


@pytest.fixture
def steps() -> Steps:
    return steps_of((ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a checkout whose test set shares one picture with its training set."""
    for name, pictures in (("train", "[a-b]*.jpg"), ("test", "[g-i]*.jpg")):
        (tmp_path / "data" / name).mkdir(parents=True)
        for path in (DATA / "gallery").glob(pictures):
            shutil.copy(path, tmp_path / "data" / name)
    shutil.copy(DATA / "gallery" / "aurora.jpg", tmp_path / "data" / "test" / "leak.jpg")
    return tmp_path


def test_a_leak_fails_the_workflow_and_is_told_everywhere(steps: Steps, home: Path) -> None:
    failed, printed = run(steps, home)
    assert failed == 1
    assert printed.startswith("::error title=sscd leaks%3A failed::1 of ")
    assert "::error file=data/test/leak.jpg,title=leak::" in printed
    assert (home / "summary.md").read_text().startswith("### sscd leaks: failed\n")
    (upload,) = [step for step in steps if "upload-sarif" in step.get("uses", "")]
    (told,) = json.loads((home / upload["with"]["sarif_file"]).read_text())["runs"]
    (result,) = told["results"]
    place = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert (home / place).is_file()


def test_sets_without_a_leak_pass_it(steps: Steps, home: Path) -> None:
    (home / "data" / "test" / "leak.jpg").unlink()
    failed, printed = run(steps, home)
    assert failed == 0
    assert printed.startswith("::notice title=sscd leaks%3A passed::0 of ")
    assert (home / "summary.md").read_text().startswith("### sscd leaks: passed\n")


def test_what_uploads_and_summarises_runs_after_a_failure(steps: Steps) -> None:
    gate = next(n for n, step in enumerate(steps) if "sscd leaks" in step.get("run", ""))
    assert all(step["if"] == "always()" for step in steps[gate + 1 :])
