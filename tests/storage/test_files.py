"""Files that are complete or absent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest
from conftest import names_in

from sscd_cli.errors import SscdError
from sscd_cli.storage import files
from sscd_cli.storage.files import output_file, remove_abandoned, unfinished_folder, whole_file


def test_of_two_writers_at_once_neither_writes_into_the_others_file(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    with whole_file(path) as last:
        last.write(b"last")
        with whole_file(path) as first:
            first.write(b"first and longer")
        assert path.read_bytes() == b"first and longer"
    assert path.read_bytes() == b"last"
    assert names_in(tmp_path) == ["report.csv"]


def test_an_output_that_cannot_be_written_names_what_to_do(tmp_path: Path) -> None:
    said = "cannot write /dev/full: No space left on device; name another file with --plot"
    fix = "name another file with --plot"
    with pytest.raises(SscdError, match=said), output_file(Path("/dev/full"), fix) as file:
        file.write(b"curve")
    gone = tmp_path / "gone" / "curve"
    with pytest.raises(SscdError, match=f"make it first or {fix}"), output_file(gone, fix):
        pass


def test_a_reader_that_has_read_enough_of_a_named_pipe_ends_the_output_quietly(
    tmp_path: Path,
) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with output_file(pipe) as file:
        os.close(reader)
        file.write(b"a page")


@pytest.mark.parametrize("writer", ["whole_file(path)", "unfinished_folder(path)"])
def test_what_a_killed_writer_left_goes_when_the_file_is_written_next(
    tmp_path: Path, writer: str
) -> None:
    path = tmp_path / "report.csv"
    killed_within(writer, path)
    assert len(names_in(tmp_path)) == 1
    others = [".report.csv.part", ".other.csv.0123abcd.part", ".report.csv.x.0123abcd.part"]
    for name in others:
        (tmp_path / name).write_bytes(b"not ours")
    with whole_file(path) as file:
        file.write(b"done")
    assert names_in(tmp_path) == sorted([*others, "report.csv"])


def test_what_another_is_writing_stays(tmp_path: Path) -> None:
    path = tmp_path / "clean"
    with unfinished_folder(path) as first, whole_file(path) as file:
        (first / "half").mkdir(parents=True)
        with unfinished_folder(path) as second:
            assert (first / "half").exists() and first != second
        file.write(b"done")
    assert path.read_bytes() == b"done"
    assert names_in(tmp_path) == ["clean"]


def test_who_was_killed_while_tidying_up_leaves_what_the_next_removes(tmp_path: Path) -> None:
    (tmp_path / ".clean.01234567.part").mkdir()  # before it was locked
    half = tmp_path / ".clean.89abcdef.part" / "clean"
    half.mkdir(parents=True)  # a lock that is gone may be one that is still to come
    remove_abandoned(tmp_path / "clean")
    assert names_in(tmp_path) == [".clean.89abcdef.part"]
    (half.parent / ".clean.lock").touch()
    remove_abandoned(tmp_path / "clean")
    assert names_in(tmp_path) == []


def test_a_writer_that_is_taken_for_abandoned_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock, tidied = tmp_path / "report.csv", files.lock, list[Path]()

    def late_lock(file: BinaryIO) -> bool | None:
        if not tidied:
            tidied.append(Path(file.name))
            tidied[0].unlink()
        return lock(file)

    monkeypatch.setattr(files, "lock", late_lock)
    with whole_file(path) as file:
        file.write(b"done")
    assert path.read_bytes() == b"done"
    assert names_in(tmp_path) == ["report.csv"]


def killed_within(writer: str, path: Path) -> None:
    """Kill a process that has begun to write `path`."""
    script = (
        "import os, signal, sys; from pathlib import Path;"
        "from sscd_cli.storage.files import unfinished_folder, whole_file;"
        "path = Path(sys.argv[1]);"
        f"held = {writer}; made = held.__enter__();"
        "made.mkdir() if isinstance(made, Path) else made.write(b'half');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ran = subprocess.run([sys.executable, "-c", script, path], check=False)
    assert ran.returncode == -signal.SIGKILL
