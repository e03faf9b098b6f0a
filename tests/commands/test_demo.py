"""The demonstration: the whole chain on pictures of ours, which it leaves as they were."""

from __future__ import annotations

import subprocess
import webbrowser
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA, Run, names_in

from sscd_cli.cli.demo import _how_to_go_on, _show
from sscd_cli.commands.demo import STEPS
from sscd_cli.edits import sample_folder
from sscd_cli.edits.sample_folder import draw_sample_folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_chain_runs_as_it_is_shown_and_is_taken_back(
    sscd: Run, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSCD_DESCRIPTORS", str(tmp_path / "mine"))  # what a person set is theirs
    ran = sscd("demo", "--no-open")
    assert ran.status == 0, ran.err
    (folder,) = place.iterdir()
    told = ran.out.decode()
    assert [line for line in ran.lines if line.startswith("$ sscd ")][:-1] == [
        f"$ {step.line}" for step in STEPS
    ]
    assert told.index("$ sscd dedup photos") < told.index("  remove ") < told.index("$ sscd review")
    assert f"Open the page: {folder / 'review.html'}" in ran.lines
    assert ran.lines[-1] == f"When you have seen enough: rm -r {folder}"
    assert "quarantine  photos/clock-again.jpg" in told
    own = [*_how_to_go_on(Path("p"), opened=False).split("\n"), *(step.purpose for step in STEPS)]
    assert max(map(len, own)) <= 60
    draw_sample_folder(tmp_path / "fresh")
    assert contents(folder / "photos") == contents(tmp_path / "fresh")
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("failure", [KeyboardInterrupt, 3])
def test_what_stops_it_leaves_nothing(
    sscd: Run, place: Path, monkeypatch: pytest.MonkeyPatch, failure: Any
) -> None:
    def fails(words: list[str], **how: Any) -> Any:
        if failure is KeyboardInterrupt:
            raise KeyboardInterrupt
        return subprocess.CompletedProcess(words, failure)

    monkeypatch.setattr(subprocess, "run", fails)
    ran = sscd("demo", "--no-open")
    assert ran.status == (130 if failure is KeyboardInterrupt else 3)
    assert ran.err.splitlines()[-1].startswith("sscd: ")
    assert names_in(place) == []


def test_no_room_is_one_line(sscd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
        ran = sscd("demo", "--no-open")
    assert (ran.status, ran.out, len(ran.err.splitlines())) == (3, b"", 1)
    assert "cannot make a temporary folder: " in ran.err


def test_only_a_browser_with_a_screen_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: bool(opened.append(address)) or True)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert not _show(tmp_path / "a b.html")
    assert opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    assert _show(tmp_path / "a b.html")
    assert opened[0].startswith("file:///")
    assert opened[0].endswith("/a%20b.html")


def test_the_pictures_are_those_of_the_gallery_and_few() -> None:
    shipped = contents(Path(sample_folder.__file__).with_name("gallery"))
    gallery = contents(DATA / "gallery")
    assert shipped == {name: gallery[name] for name in shipped}
    assert sum(map(len, shipped.values())) < 1_000_000
