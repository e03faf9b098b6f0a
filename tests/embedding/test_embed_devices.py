"""Several devices, a process each: the dataset of one, whatever happens to a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Run, error_line, names_in
from divided import rows


@pytest.mark.usefixtures("photos")
def test_two_processes_leave_the_dataset_of_one(tiny: Run) -> None:
    assert tiny("embed", "photos", "-d", "one").status == 0
    ran = tiny("embed", "photos", "--device", "cpu,cpu")
    assert ran.status == 0, ran.err
    assert rows(Path("descriptors")) == rows(Path("one"))
    assert "40 images: " in ran.err
    assert "1 unreadable" in ran.err
    assert " on cpu,cpu (" in ran.err
    assert [name for name in names_in(Path("descriptors")) if "2of2" in name]
    again = tiny("embed", "photos")
    assert "0 embedded" in again.err
    assert rows(Path("descriptors")) == rows(Path("one"))


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-",), "one device alone can read the list on stdin; name the list's file"),
        (
            ("photos", "--task", "1/2"),
            "a task runs on one device; leave out --task or name one device",
        ),
        (("photos", "--estimate"), "--estimate tries one device; name one of them"),
    ],
)
def test_what_several_devices_cannot_do_is_refused(
    tiny: Run, words: tuple[str, ...], message: str
) -> None:
    ran = tiny("embed", *words, "--device", "cpu,cpu")
    assert (ran.status, error_line(ran)) == (2, message)
    assert not Path("descriptors").exists()


@pytest.mark.usefixtures("photos")
def test_a_device_that_is_not_there_is_refused_before_any_process_starts(tiny: Run) -> None:
    ran = tiny("embed", "photos", "--device", "cpu,gpu")
    assert ran.status == 2
    assert error_line(ran) == "unknown device 'gpu'; use --device cpu, cuda or cuda:N"
    assert not Path("descriptors").exists()


def start(model: Path) -> subprocess.Popen[str]:
    """Embed slowly, in two processes; return when shards of both are there."""
    command = ["embed", "photos", "-m", str(model), "--device", "cpu,cpu"]
    small = ["--batch-size", "1", "--shard-rows", "1", "--workers", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "sscd_cli", *command, *small], stderr=subprocess.PIPE, text=True
    )
    while not all(list(Path("descriptors").glob(f"*{part}of2*.parquet")) for part in (1, 2)):
        assert process.poll() is None
        time.sleep(0.02)
    return process


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("victim", ["first", "child"])
def test_a_process_that_ends_early_ends_all_and_the_next_run_completes(
    tiny: Run, tiny_model: Path, victim: str
) -> None:
    assert tiny("embed", "photos", "-d", "one", "--batch-size", "1").status == 0
    process = start(tiny_model)
    if victim == "first":
        process.send_signal(signal.SIGINT)
    else:
        working = [
            pid
            for pid in children(process.pid)
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        os.kill(working[0], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (130 if victim == "first" else 3)
    assert "Traceback" not in err
    if victim == "child":
        assert "a process died" in err
    ran = tiny("embed", "photos", "--device", "cpu,cpu", "--batch-size", "1")
    assert ran.status == 0, ran.err
    assert rows(Path("descriptors")) == rows(Path("one"))
