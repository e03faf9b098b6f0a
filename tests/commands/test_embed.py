"""Embedding goes on where it stopped, whatever stopped it, and ends as if nothing had."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SSCD, Run, error_line, picture
from pausing import paused_embed

from sscd_cli.commands import embed
from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.options.embed import EmbedOptions

COUNT = 24


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of different pictures, one exact copy and one torn file."""
    folder = tmp_path / "photos"
    for seed in range(COUNT - 2):
        picture(folder / f"{seed:02}.png", seed)
    shutil.copy2(folder / "00.png", folder / "copy.png")
    (folder / "torn.png").write_bytes((folder / "01.png").read_bytes()[:70])
    return folder


def content(folder: Path) -> dict[str, Any]:
    """Return what a dataset says of each image, whatever the order."""
    stored = read_descriptors(folder)
    rows: dict[str, Any] = {
        str(Path(source, id)): (
            stored.descriptors[row].tobytes(),
            *(np.asarray(values[row]).tobytes() for values in stored.columns.values()),
        )
        for row, (source, id) in enumerate(zip(stored.sources, stored.ids, strict=True))
    }
    failed = stored.unreadable
    return rows | dict(zip(failed.ids, failed.errors, strict=True))


def counts(err: str) -> str:
    return next(line for line in err.splitlines() if " images: " in line and "embedded" in line)


def test_a_run_says_what_it_did_and_where_the_time_went(tiny: Run, photos: Path) -> None:
    ran = tiny("embed", "photos")
    assert (ran.status, ran.out) == (0, b"")
    lines = ran.err.splitlines()
    assert lines[0].startswith("unreadable: photos/torn.png: ")
    assert lines[1] == "24 images: 22 embedded, 1 exact copy, 1 unreadable, 0 unchanged"
    assert " images/s with tiny on cpu (" in lines[2]
    for phase in ("read ", "decode ", "network ", "write "):
        assert phase in lines[3]


def test_all_the_time_is_told_and_the_start_apart(tiny: Run, photos: Path) -> None:
    before = time.perf_counter()
    lines = tiny("embed", "photos").err.splitlines()
    taken = time.perf_counter() - before
    start = float(lines[2].rpartition(" after a start of ")[2].removesuffix(" s"))
    total = float(lines[3].partition(" s in all")[0])
    speed = float(lines[2].partition(" ")[0].replace(",", ""))
    assert start <= total <= taken + 0.1
    assert total == pytest.approx(start + 23 / speed, rel=0.2, abs=0.16)  # each is rounded


def test_an_unreadable_member_of_an_archive_is_named(tiny: Run, photos: Path) -> None:
    with tarfile.open("photos.tar", "w") as archive:
        archive.add(photos, ".")
    lines = tiny("embed", "photos.tar").err.splitlines()
    assert lines[0].startswith("unreadable: photos.tar/torn.png: ")


def test_nothing_is_embedded_twice(tiny: Run, photos: Path) -> None:
    tiny("embed", "photos")
    before = content(Path("descriptors"))
    assert counts(tiny("embed", "photos").err) == (
        "24 images: 0 embedded, 0 exact copies, 1 unreadable, 23 unchanged"
    )
    assert len(list(Path("descriptors").glob("*.parquet"))) == 1
    os.utime(photos / "03.png")  # the same bytes at another time
    picture(photos / "04.png", 400)
    picture(photos / "new.png", 500)
    shutil.move(photos / "05.png", photos / "moved.png")
    assert counts(tiny("embed", "photos").err) == (
        "25 images: 2 embedded, 2 exact copies, 1 unreadable, 20 unchanged"
    )
    after = content(Path("descriptors"))
    assert after.keys() - before.keys() == {str(photos / "new.png"), str(photos / "moved.png")}
    assert after[str(photos / "moved.png")] == before[str(photos / "05.png")]


def test_prune_drops_what_has_gone_and_nothing_else(tiny: Run, photos: Path) -> None:
    tiny("embed", "photos")
    (photos / "07.png").unlink()
    ran = tiny("embed", "photos", "--prune")
    assert counts(ran.err).endswith("1 vanished and dropped")
    kept = content(Path("descriptors"))
    assert str(photos / "07.png") not in kept
    assert len(kept) == COUNT - 1
    photos.rename(photos.with_name("unplugged"))
    picture(Path("other") / "a.png", 1)
    tiny("embed", "other", "--prune")
    assert len(content(Path("descriptors"))) == COUNT  # a source that is not there is not gone


def test_strict_is_four_and_the_rows_are_there(tiny: Run, photos: Path) -> None:
    for _ in range(2):  # what is read again, and what is known from before
        ran = tiny("embed", "photos", "--strict")
        assert ran.status == 4
        assert ran.err.startswith("unreadable: photos/torn.png: ")
        assert "truncated PNG" in ran.err
        assert " 1 unreadable, " in counts(ran.err)
        assert len(content(Path("descriptors"))) == COUNT
    picture(photos / "torn.png", 600)
    assert tiny("embed", "photos", "--strict").status == 0
    assert tiny("embed", "photos/00.png", "--strict", "-d", "other").status == 0


def test_the_result_does_not_depend_on_workers_or_batches(
    tiny: Run, photos: Path, tmp_path: Path
) -> None:
    tiny("embed", "photos", "-d", "one", "--workers", "0", "--batch-size", "24")
    tiny("embed", "photos", "-d", "two", "--workers", "2", "--batch-size", "24")
    assert (tmp_path / "one/shard-000000.parquet").read_bytes() == (
        tmp_path / "two/shard-000000.parquet"
    ).read_bytes()
    tiny("embed", "photos", "-d", "three", "--batch-size", "5", "--shard-rows", "7")
    one, three = (read_descriptors(Path(name)) for name in ("one", "three"))
    assert list(one.ids) == list(three.ids)
    assert np.allclose(one.descriptors, three.descriptors, atol=2e-3)


def test_include_and_exclude_choose(tiny: Run, photos: Path) -> None:
    tiny("embed", "photos", "--include", "0*", "--exclude", "*5.png")
    assert set(read_descriptors(Path("descriptors")).ids) == {
        f"0{digit}.png" for digit in range(10) if digit != 5
    }


def test_the_library_reports_its_progress(photos: Path, tmp_path: Path, tiny_model: Path) -> None:
    seen: list[int] = []
    options = EmbedOptions(
        sources=(str(photos),),
        descriptors=tmp_path / "d",
        model=str(tiny_model),
        batch_size=10,
        workers=0,
    )
    result = embed.run(options, lambda so_far: seen.append(so_far.embedded + so_far.copies))
    assert seen[-1] == result.embedded + result.copies == COUNT - 1
    assert seen == sorted(seen)
    assert len(seen) >= 3
    assert (result.images, result.unreadable, result.unchanged) == (COUNT, 1, 0)
    assert result.saw([str(photos)] * 2, ["00.png", "no.png"]).tolist() == [True, False]


@pytest.fixture
def undisturbed(tiny: Run, photos: Path) -> dict[str, Any]:
    assert tiny("embed", "photos", "-d", "undisturbed", "--batch-size", "4").status == 0
    return content(Path("undisturbed"))


def test_ctrl_c_keeps_the_rows_and_the_next_run_goes_on(
    tiny: Run, tiny_model: Path, undisturbed: dict[str, Any]
) -> None:
    process = paused_embed(2, "photos", "-d", "d", "-m", str(tiny_model), "--batch-size", "4")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err == "sscd: error: interrupted; run the same command again to go on\n"
    assert len(content(Path("d"))) == 4  # the first batch was handed over, the second not yet
    ran = tiny("embed", "photos", "-d", "d", "--batch-size", "4")
    assert counts(ran.err).endswith("4 unchanged")
    assert content(Path("d")) == undisturbed


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_killed_run_loses_its_open_shard_only_and_the_next_completes_it(
    tiny: Run, tiny_model: Path, undisturbed: dict[str, Any], workers: str
) -> None:
    words = ("photos", "-d", "d", "--shard-rows", "3", "--batch-size", "4")
    process = paused_embed(3, *words, "-m", str(tiny_model), "--workers", workers)
    second = tiny("embed", *words)
    assert second.status == 3
    assert error_line(second) == (
        "another sscd is writing to d; wait for it to end, or choose another place with -d"
    )
    process.kill()
    process.communicate(timeout=120)
    assert len(content(Path("d"))) == 6  # eight rows were handed over, in shards of three
    Path("d/.shard-000002.parquet.part").write_bytes(b"half")
    ran = tiny("embed", *words)
    assert counts(ran.err).endswith("6 unchanged")
    assert content(Path("d")) == undisturbed
    assert not list(Path("d").glob(".*.part"))


ONE_BY_ONE = ("--workers", "0", "--batch-size", "1")
ENDS = {
    signal.SIGINT: (130, "interrupted"),
    signal.SIGTERM: (143, "stopped by SIGTERM"),
    signal.SIGHUP: (129, "stopped by SIGHUP"),
}


@pytest.mark.parametrize("number", ENDS)
def test_a_signal_keeps_the_open_shard_and_says_so(
    tiny_model: Path, photos: Path, number: signal.Signals
) -> None:
    names = os.pipe()
    process = subprocess.Popen(
        [SSCD, "embed", "-", "-m", tiny_model, "-d", photos.parent / "d", *ONE_BY_ONE],
        stdin=names[0],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for name in ("00.png", "01.png", "02.png"):
        os.write(names[1], f"{photos}/{name}\n".encode())
    deadline = time.monotonic() + 120
    while not (photos.parent / "d" / ".lock").exists():  # it waits for more names now
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    for _ in range(2):  # as `timeout` does, the second while the shard is written
        process.send_signal(number)
    _, err = process.communicate(timeout=120)
    for end in names:
        os.close(end)
    status, word = ENDS[number]
    assert process.returncode == status
    assert err == f"sscd: error: {word}; run the same command again to go on\n"
    assert 1 <= len(content(photos.parent / "d")) <= 3
    assert not list((photos.parent / "d").glob(".*.part"))


def test_an_error_in_the_sources_ends_the_run_but_keeps_what_was_embedded(
    tiny: Run, photos: Path
) -> None:
    Path("list.csv").write_text("n,m\n1,2\n")
    ran = tiny("embed", "photos", "list.csv", "--batch-size", "4", "--shard-rows", "4")
    assert ran.status == 2
    assert error_line(ran).endswith("no column with images; choose one with --image-column (n, m)")
    assert len(content(Path("descriptors"))) >= COUNT


def test_a_missing_source_is_told_before_anything_is_embedded(tiny: Run, photos: Path) -> None:
    ran = tiny("embed", "photos", "nowhere")
    assert ran.status == 3
    assert error_line(ran) == (
        "cannot read the source nowhere: No such file or directory; check the path"
    )
    assert not Path("descriptors").exists()
