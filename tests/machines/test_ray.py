"""A real Ray on this machine: the results of one machine, whatever dies on the way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Run, Store, error_line, picture
from divided import rows, vectors

slow = pytest.mark.slow
needs_ray = pytest.mark.usefixtures("ray")


@pytest.fixture(scope="module")
def ray() -> None:
    pytest.importorskip("ray")


# runs `sscd` in a process of its own with two cores of Ray; the tasks' hooks come by environment
DRIVER = """
import os, sys
from functools import partial
import ray
ray.init = partial(ray.init, num_cpus=2)
from sscd_cli.__main__ import main
sys.path.insert(0, os.environ["HERE"])
import test_ray
from sscd_cli.embedding import tasks as embed_tasks
embed_tasks.run_task = test_ray.hooked_task
sys.exit(main(sys.argv[1:]))
"""


def hooked_task(options, task, tell):  # type: ignore[no-untyped-def]
    """Run a task as a worker does, with what shall happen at its second batch."""
    from dataclasses import replace

    from sscd_cli.embedding import local

    real, batches = local._write, 0

    def hooked(batch, *rest):  # type: ignore[no-untyped-def]
        nonlocal batches
        batches += 1
        Path(f"pid-{task.name}").write_text(str(os.getpid()))
        mark = Path(f"hooked-{task.name}")
        if batches == 2 and not mark.exists() and os.environ["HOOK"]:
            mark.touch()
            if os.environ["HOOK"] == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        real(batch, *rest)

    local._write = hooked
    try:
        return local.run_here(replace(options, task=task), tell)
    finally:
        local._write = real


SMALL = ("--batch-size", "2", "--shard-rows", "2")


def start(model: Path, hook: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            DRIVER,
            "embed",
            "photos",
            "-m",
            str(model),
            "--workers",
            "0",
            "--engine",
            "ray",
            *SMALL,
            *words,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOOK": hook, "HERE": str(Path(__file__).parent)}
        | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.fixture
def one(tiny: Run, photos: Path) -> list[tuple[str, bytes]]:
    assert tiny("embed", "photos", "-d", "one", *SMALL).status == 0
    return rows(Path("one"))


@slow
@needs_ray
def test_ray_makes_what_one_machine_makes(tiny_model: Path, one: list[tuple[str, bytes]]) -> None:
    out, err = start(tiny_model, "").communicate(timeout=900)
    # how many of the twins come to one task depends on the name of the folder
    told = re.search(r"40 images: (\d+) embedded, (\d) exact cop\w+, 1 unreadable", err)
    assert told, err
    assert int(told[1]) + int(told[2]) == 39
    assert out == ""
    assert rows(Path("descriptors")) == one
    _, err = start(tiny_model, "").communicate(timeout=900)
    assert "40 images: 0 embedded, 0 exact copies, 1 unreadable, 39 unchanged" in err


@needs_ray
def test_a_killed_worker_is_replaced_and_goes_on(
    tiny_model: Path, one: list[tuple[str, bytes]]
) -> None:
    process = start(tiny_model, "die")
    out, err = process.communicate(timeout=900)
    assert (process.returncode, out) == (0, ""), err
    assert len(list(Path().glob("hooked-*"))) == 2  # both workers died once
    assert rows(Path("descriptors")) == one


@slow
@needs_ray
def test_a_killed_driver_is_run_again_and_does_what_is_missing(
    tiny: Run, tiny_model: Path, one: list[tuple[str, bytes]]
) -> None:
    process = start(tiny_model, "sleep")
    deadline = time.monotonic() + 600
    while len(list(Path().glob("hooked-*"))) < 2:
        assert time.monotonic() < deadline, process.kill()
        time.sleep(0.1)
    process.kill()
    process.communicate(timeout=60)
    assert "parts 1/2, 2/2 of descriptors are missing" in error_line(tiny("dedup"))
    written = {path.name: path.stat().st_mtime_ns for path in Path("descriptors").glob("*.parquet")}
    assert written
    process = start(tiny_model, "sleep")
    _, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    assert int(err.split(" unreadable, ")[1].split(" ")[0]) >= 2 * len(written) - 2
    for name, mtime_ns in written.items():
        assert Path("descriptors", name).stat().st_mtime_ns == mtime_ns
    assert rows(Path("descriptors")) == one


@slow
@needs_ray
def test_a_full_disk_is_one_line_and_the_rest_goes_on(
    tiny_model: Path,
    one: list[tuple[str, bytes]],
    small_disk: Path,
) -> None:
    full = str(small_disk / "d")
    process = start(tiny_model, "", "-d", full)
    _, err = process.communicate(timeout=900)
    assert process.returncode == 3
    assert err.splitlines()[-1].startswith("sscd: error: task ")
    assert "the disk is full" in err
    assert "Traceback" not in err
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    process = start(tiny_model, "", "-d", full)
    _, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    assert rows(Path(full)) == one


@slow
@needs_ray
def test_what_no_machine_has_is_refused(tiny_model: Path, one: list[tuple[str, bytes]]) -> None:
    process = start(tiny_model, "", "--cpus-per-task", "64")
    _, err = process.communicate(timeout=900)
    assert process.returncode == 3
    assert err.splitlines()[-1] == (
        "sscd: error: no machine of the cluster has --cpus-per-task 64; ask for 2 at most"
    )


DEDUP = """
import os, signal, sys
from functools import partial
import ray
ray.init = partial(ray.init, num_cpus=2)
from sscd_cli.__main__ import main
sys.path.insert(0, os.environ["HERE"])
import test_ray
from sscd_cli.joining import tasks as join
from sscd_cli.joining import tiles
join._run_task = test_ray.hooked_join
tiles.LEAST_ROWS = 16
sys.exit(main(sys.argv[1:]))
"""


def hooked_join(options, task, tell):  # type: ignore[no-untyped-def]
    """Run a task of a join as a worker does; the first one dies after its first tile."""
    from sscd_cli.joining import tasks as join
    from sscd_cli.joining import tiles

    tiles.LEAST_ROWS = 16
    save, mark = join.save_tile, Path("hooked-join")

    def saved(*args):  # type: ignore[no-untyped-def]
        save(*args)
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    join.save_tile = saved
    try:
        return join.run(options, task, lambda done, total: tell(done))
    finally:
        join.save_tile = save


@needs_ray
def test_ray_joins_what_one_machine_joins_though_a_worker_dies(
    sscd: Run, store: Store, tmp_path: Path
) -> None:
    rows = vectors(60, seed=3).astype("float32")
    files = {picture(tmp_path / f"p/{i:02}.png", i): row for i, row in enumerate(rows)}
    store(tmp_path / "descriptors", files)
    one = sscd("dedup", "-f", "jsonl")
    done = subprocess.run(
        [sys.executable, "-c", DEDUP, "dedup", "-f", "jsonl", "--engine", "ray"],
        capture_output=True,
        timeout=900,
        check=False,
        env={**os.environ, "HERE": str(Path(__file__).parent)}
        | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == one.out.splitlines()[1:]  # the first has the command
    assert Path("hooked-join").exists()
    assert len(list(Path("descriptors").glob("join-*/tile-*.parquet"))) == 10
