"""What `sscd apply` and `sscd undo` leave when killed or refused, or with a damaged journal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from applying import state
from conftest import Run, error_line
from killed_runs import state as whole_state

from sscd_cli.decisions import acts
from sscd_cli.decisions.folder_times import FolderTimes
from sscd_cli.decisions.journal import Journal

TESTS = Path(__file__).parents[1]


def ages(folder: Path) -> dict[str, int]:
    """Return the time of each folder, without those of a quarantine."""
    folders = (path for path in [folder, *folder.rglob("*")] if path.is_dir())
    return {str(path): path.stat().st_mtime_ns for path in folders if ".sscd" not in str(path)}


@pytest.fixture
def old(tmp_path: Path, report: Path) -> dict[str, int]:
    """Return the times of the folders, which are of long ago."""
    for number, path in enumerate((tmp_path / "photos" / "sub", tmp_path / "photos")):
        os.utime(path, ns=(10**18, 10**18 + number))
    return ages(tmp_path / "photos")


@pytest.mark.parametrize("action", ["quarantine", "hardlink", "symlink"])
def test_undo_gives_folders_their_times_back(
    sscd: Run, tmp_path: Path, report: Path, old: dict[str, int], action: str
) -> None:
    assert sscd("apply", report, "--go", "--action", action).status in (0, 3)
    assert ages(tmp_path / "photos") != old
    assert sscd("undo", tmp_path / "r.journal.jsonl").status == 0
    assert ages(tmp_path / "photos") == old
    # and once more: what was taken back is done again, and taken back again
    assert sscd("apply", report, "--go", "--action", action).status in (0, 3)
    assert sscd("undo", tmp_path / "r.journal.jsonl").status == 0
    assert ages(tmp_path / "photos") == old


def test_a_folder_that_others_changed_meanwhile_keeps_its_new_time(
    sscd: Run, tmp_path: Path, report: Path, old: dict[str, int]
) -> None:
    photos = tmp_path / "photos"
    sscd("apply", report, "--go")
    (photos / "sub" / "new.png").write_bytes(b"new")
    sscd("undo", tmp_path / "r.journal.jsonl")
    now = ages(photos)
    assert now[str(photos)] == old[str(photos)]
    assert now[str(photos / "sub")] > old[str(photos / "sub")]
    os.utime(photos, ns=(10**18, 10**18 + 7))
    sscd("undo", tmp_path / "r.journal.jsonl")
    assert ages(photos)[str(photos)] == 10**18 + 7


def test_a_change_between_two_acts_is_what_comes_back(tmp_path: Path) -> None:
    times = FolderTimes()
    times.before({"a": 1})
    times.after({"a": 2})
    times.before({"a": 2})
    times.after({"a": 3})
    assert times.own == {"a": 1}
    times.before({"a": 5})
    assert (times.own, times.unsettled()) == ({"a": 5}, {"a"})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is empty: nothing was done"),
        ("{}\n", "is no journal of sscd apply"),
        ('{"journal": 1}\n{"intent": {"number": 1}}\n', "is no journal of sscd apply"),
        ("[" * 100_000 + "\n", "is no journal of sscd apply"),
    ],
)
def test_what_is_no_journal_is_refused(sscd: Run, tmp_path: Path, text: str, what: str) -> None:
    Path("j").write_text(text)
    ran = sscd("undo", "j")
    assert ran.status == 3
    assert what in error_line(ran)
    assert error_line(sscd("undo", "none")).startswith("there is no journal none; name one of")


def test_a_journal_needs_a_folder(sscd: Run, tmp_path: Path, report: Path) -> None:
    ran = sscd("apply", report, "--go", "--journal", "nowhere/j.jsonl")
    told = "cannot write nowhere/j.jsonl: no such folder; make it first or name another file with"
    assert (ran.status, error_line(ran)) == (3, f"{told} --journal")


def test_a_line_that_was_cut_was_never_acted_upon(sscd: Run, tmp_path: Path, report: Path) -> None:
    before = state(tmp_path / "photos")
    assert sscd("apply", report, "--go").status == 0
    journal = tmp_path / "r.journal.jsonl"
    with journal.open("a") as file:
        file.write('{"intent": {"number": 9, "acti')
    assert sscd("undo", journal).err == "4 files restored\n"
    assert state(tmp_path / "photos") == before


def test_a_journal_that_cannot_grow_stops_what_it_would_not_bring_back(
    sscd: Run, tmp_path: Path, report: Path
) -> None:
    before = state(tmp_path / "photos")
    words = [sys.executable, "-m", "sscd_cli", "apply", "r.jsonl", "--go"]
    for kilobytes in (0, 1, 2):  # a limit stands for a full disk
        limited = ["bash", "-c", f'ulimit -f {kilobytes}; exec "$@"', "bash", *words]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        ran = subprocess.run(
            limited, cwd=tmp_path, env=environment, capture_output=True, check=False, text=True
        )
        told = "cannot write r.journal.jsonl: File too large; see to that and run the same command"
        assert ran.stderr == f"sscd: error: {told} again\n"
        assert ran.returncode == 3
    assert sscd("apply", report, "--go").status == 0
    assert sscd("undo", "r.journal.jsonl").err == "4 files restored\n"
    assert state(tmp_path / "photos") == before


def test_a_file_system_without_hard_links_loses_nothing(
    sscd: Run, tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    before = state(tmp_path / "photos")
    assert sscd("apply", report, "--go").err.startswith("2 images moved")
    assert sscd("undo", "r.journal.jsonl").err == "4 files restored\n"
    assert state(tmp_path / "photos") == before


def refuse_to_unlink(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Make folders read only, for those, too, whom no file system stops."""
    unlink = os.unlink

    def refuse(path: Any, *more: Any, **named: Any) -> None:
        if Path(path).parent in folders:
            raise PermissionError(13, "Permission denied", path)
        unlink(path, *more, **named)

    monkeypatch.setattr(os, "unlink", refuse)


def test_what_a_folder_does_not_let_go_stays_and_lies_nowhere_else(
    sscd: Run, tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(tmp_path / "photos")
    with monkeypatch.context() as patch:
        refuse_to_unlink(patch, tmp_path / "photos/sub")
        ran = sscd("apply", report, "--go")
        assert ran.status == 3
        assert "photos/sub/a copy.png is not touched: Permission denied\n" in ran.err
        assert state(tmp_path / "photos") == before
        assert sscd("undo", "r.journal.jsonl").err == "0 files restored\n"
    assert sscd("apply", report, "--go").status == 0
    assert sscd("undo", "r.journal.jsonl").err == "4 files restored\n"
    assert state(tmp_path / "photos") == before


def test_what_undo_cannot_bring_to_an_end_is_named_and_the_rest_comes_back(
    sscd: Run, tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(tmp_path / "photos")
    mark = Journal.mark

    def killed(self: Journal, state: str, some: Any) -> None:
        if some and some[0].path.endswith("c-edited.png"):
            raise KilledError  # when it has both names
        mark(self, state, some)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "mark", killed)
        with pytest.raises(KilledError):
            sscd("apply", report, "--go")
    (moved,) = (tmp_path / "photos").glob(".sscd-quarantine/*/sub/c-edited.png")
    os.link(moved, tmp_path / "photos/sub/c-edited.png")
    with monkeypatch.context() as patch:
        refuse_to_unlink(patch, tmp_path / "photos/sub")
        ran = sscd("undo", "r.journal.jsonl")
        assert ran.status == 3
        assert ran.err.endswith("is not restored: Permission denied\n3 files restored\n")
    assert sscd("undo", "r.journal.jsonl").err == "1 file restored\n"
    assert state(tmp_path / "photos") == before


def kill(tmp_path: Path, action: str, kills: int) -> int:
    """Kill runs in processes of their own, see `killed_runs`; return how many were killed."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        **os.environ,
        "XDG_DATA_HOME": str(home),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, TESTS / "killed_runs.py", "r.jsonl", action, str(kills), "1"]
    ran = subprocess.run(
        [*map(str, command), "photos", "home"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


@pytest.mark.parametrize("action", ["quarantine", "hardlink", "trash"])
def test_killed_at_any_moment_no_byte_is_lost_and_undo_restores_all(
    tmp_path: Path, report: Path, action: str
) -> None:
    if action == "trash":
        pytest.importorskip("send2trash")
    assert kill(tmp_path, action, 4) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("action", ["quarantine", "hardlink", "symlink", "trash"])
def test_200_kills_lose_no_byte(tmp_path: Path, report: Path, action: str) -> None:
    assert kill(tmp_path, action, 200) >= 200


class KilledError(BaseException):
    """Ends a run at once, as a SIGKILL would."""


def test_an_apply_killed_before_its_first_move_leaves_no_folder_after_undo(
    sscd: Run, tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KilledError

    before = whole_state(tmp_path / "photos")
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(acts, "_move_new", die)
        sscd("apply", report, "--go")
    assert sscd("undo", "r.journal.jsonl").status == 0
    assert whole_state(tmp_path / "photos") == before


def test_an_undo_killed_between_two_folders_leaves_none_when_run_again(
    sscd: Run, tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rmdir = os.rmdir

    def die(folder: str) -> None:
        rmdir(folder)
        raise KilledError

    before = whole_state(tmp_path / "photos")
    sscd("apply", report, "--go")
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(os, "rmdir", die)
        sscd("undo", "r.journal.jsonl")
    assert sscd("undo", "r.journal.jsonl").status == 0
    assert whole_state(tmp_path / "photos") == before
