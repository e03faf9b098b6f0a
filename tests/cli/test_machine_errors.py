"""Faults of the machine are told in one line: full disks, missing permissions, memory."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import SSCD, Run, Store, error_line, failed, names_in, picture

A = [1.0, 0.0]

no_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


def test_missing_cuda(tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    picture(tmp_path / "a.png", 1)
    message = "this machine has no CUDA device 'cuda'; use --device cpu"
    failed(tiny, 3, message, "embed", "a.png", "--device", "cuda")
    message = "unknown device 'gpu'; use --device cpu, cuda or cuda:N"
    failed(tiny, 2, message, "embed", "a.png", "--device", "gpu")
    assert not (tmp_path / "descriptors").exists()


@pytest.mark.parametrize("format", ["torchvision", "torchscript"])
def test_a_full_disk_holds_no_part_of_a_model(sscd: Run, small_disk: Path, format: str) -> None:
    ran = sscd("models", "export", "sscd_mini", "-f", format, "-o", small_disk / "m.pt")
    assert ran.status == 3
    assert "No space left on device" in error_line(ran)
    assert names_in(small_disk) == []


def test_a_full_disk_leaves_whole_shards_only_and_the_next_run_goes_on(
    tiny: Run, tmp_path: Path, small_disk: Path
) -> None:
    for seed in range(12):
        picture(tmp_path / "photos" / f"{seed:02}.png", seed)
    ballast, there = small_disk / ".ballast", small_disk / "d"
    ballast.write_bytes(bytes(52 << 10))
    words = ("embed", "photos", "-d", there, "--shard-rows", "2", "--batch-size", "2")
    ran = tiny(*words)
    assert ran.status == 3
    assert error_line(ran) == (
        f"cannot write to {there}: the disk is full; free some space and run the same command again"
    )
    assert not [name for name in names_in(there) if name.endswith(".part")]
    if any(name.endswith(".parquet") for name in names_in(there)):
        assert tiny("dedup", "-d", there).status == 0
    ballast.unlink()
    tiny("embed", "photos", "-d", tmp_path / "whole")
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    ran = tiny(*words)
    assert ran.status == 0
    assert "12 images: " in ran.err
    report = tiny("dedup", "-d", there, "-t", "0", "-f", "csv").out
    whole = tiny("dedup", "-d", tmp_path / "whole", "-t", "0", "-f", "csv").out
    # the first line names the dataset
    assert report.split(b"\n", 1)[1] == whole.split(b"\n", 1)[1]


def test_a_read_only_place_is_an_error(tiny: Run, tmp_path: Path, small_disk: Path) -> None:
    picture(tmp_path / "a.png", 1)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    message = f"cannot write to {small_disk}/d: Read-only file system; choose another place with -d"
    failed(tiny, 3, message, "embed", "a.png", "-d", small_disk / "d")


@no_root
def test_a_folder_without_permission_is_an_error(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1)
    (tmp_path / "shut").mkdir(mode=0o500)
    message = "cannot write to shut/d: Permission denied; choose another place with -d"
    failed(tiny, 3, message, "embed", "a.png", "-d", "shut/d")
    (tmp_path / "locked").mkdir(mode=0)
    message = "cannot read the folder {}: Permission denied; make it readable"
    failed(tiny, 3, message.format(tmp_path / "locked"), "embed", "locked")


@pytest.mark.parametrize("name", ["torn.png", "nowhere.png"])
def test_an_image_that_pair_or_search_cannot_read(tiny: Run, tmp_path: Path, name: str) -> None:
    picture(tmp_path / "a.png", 1)
    (tmp_path / "torn.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    assert tiny("embed", "a.png").status == 0
    for words in (["pair", "a.png", name], ["search", name]):
        ran = tiny(*words)
        assert (ran.status, ran.out) == (3, b"")
        assert error_line(ran).startswith(f"cannot read {name}: ")
        assert error_line(ran).endswith("; name an image file")


def test_a_working_directory_that_is_gone_is_told(
    sscd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    message = "the working directory is gone; cd to a folder that is there"
    for words in (["embed", tmp_path], ["dedup", "-d", tmp_path], ["models", "list"]):
        failed(sscd, 3, message, *words)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_too_small_an_address_space_is_told_before_a_library_ends_the_process() -> None:
    ran = subprocess.run(
        ["bash", "-c", f"ulimit -v 300000; {SSCD} dedup -d nowhere"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr == (
        "sscd: error: ulimit -v leaves 307 MB of memory; raise it to 2 GB or more\n"
    )


LACKS = {
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9"): "out of memory;",
    RuntimeError("std::bad_alloc"): "out of memory;",
    MemoryError(): "out of memory;",
    ImportError("libtorch_cpu.so: failed to map segment from shared object"): "out of memory;",
    OSError(24, "Too many open files"): "too many open files; raise the limit (ulimit -n)",
    RuntimeError("can't start new thread"): "no more threads; raise the limits",
    ImportError("libgomp.so.1: no such file", name="faiss"): "cannot load faiss: libgomp.so.1: no",
}


@pytest.mark.parametrize("error", LACKS, ids=str)
def test_what_the_machine_lacks_is_told_whatever_the_library_says(
    sscd: Run, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("sscd_cli.commands.index.run", fail)
    ran = sscd("index")
    assert ran.status == 3
    assert error_line(ran).startswith(LACKS[error])


def test_a_shard_that_memory_does_not_suffice_for_is_not_called_damaged(
    sscd: Run, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa

    store(tmp_path / "descriptors", {picture(tmp_path / "a.png", 1): A})
    for error in (pa.ArrowException("Failed to launch worker thread"), pa.ArrowMemoryError("")):

        def fail(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr("pyarrow.parquet.ParquetFile", fail)
        ran = sscd("dedup", "-t", "0.9")
        assert ran.status == 3
        assert "damaged" not in ran.err
        assert error_line(ran).startswith(("no more threads", "out of memory"))
