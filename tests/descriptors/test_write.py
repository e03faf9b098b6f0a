"""A shard is complete or absent: kills, full disks, locks, foreign folders."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from stores import PROVENANCE, row, rows, stored_ids

from sscd_cli.descriptors.write import ShardWriter
from sscd_cli.errors import StoreError


def test_rows_become_full_shards_and_a_last_one(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "a" / "store", PROVENANCE, rows_per_shard=3) as writer:
        first = writer.add(rows("ab"))
        second = writer.add(rows("cdefg"))
        assert stored_ids(writer.folder) == [["a", "b", "c"], ["d", "e", "f"]]
    assert stored_ids(writer.folder) == [["a", "b", "c"], ["d", "e", "f"], ["g"]]
    places = [(place >> 32, place & 0xFFFFFFFF) for place in [*first, *second]]
    assert places == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]


def test_the_next_run_goes_on_behind_the_last_shard(tmp_path: Path) -> None:
    for names in ("ab", "cd"):
        with ShardWriter(tmp_path, PROVENANCE) as writer:
            writer.add(rows(names))
    assert stored_ids(tmp_path) == [["a", "b"], ["c", "d"]]


def test_a_run_without_rows_writes_no_shard(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, PROVENANCE):
        pass
    assert stored_ids(tmp_path) == []


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with ShardWriter(tmp_path / name, PROVENANCE) as writer:
            writer.add(rows("abc"))
    one, two = (tmp_path / name / "shard-000000.parquet" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_ctrl_c_keeps_the_open_rows_and_another_error_drops_them(tmp_path: Path) -> None:
    for name, error in (("interrupted", KeyboardInterrupt), ("failed", RuntimeError)):
        with (
            pytest.raises(error),
            ShardWriter(tmp_path / name, PROVENANCE, rows_per_shard=2) as writer,
        ):
            writer.add(rows("abc"))
            raise error
    assert stored_ids(tmp_path / "interrupted") == [["a", "b"], ["c"]]
    assert stored_ids(tmp_path / "failed") == [["a", "b"]]


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    leftovers = [tmp_path / f".shard-000007.parquet{middle}.part" for middle in ("", ".0a1b2c3d")]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    with ShardWriter(tmp_path, PROVENANCE) as writer:
        assert not any(leftover.exists() for leftover in leftovers)
        writer.add(rows("a"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "shard-000000.parquet"]


def test_two_runs_cannot_write_at_once_and_a_dead_one_does_not_block(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from sscd_cli.descriptors.write import ShardWriter\n"
        "from stores import PROVENANCE\n"
        "with ShardWriter(Path(sys.argv[1]), PROVENANCE): print('in', flush=True); input()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path), *sys.path]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        with pytest.raises(StoreError) as caught, ShardWriter(tmp_path, PROVENANCE):
            pass
        other.kill()
    assert str(caught.value) == (
        f"another sscd is writing to {tmp_path}; "
        "wait for it to end, or choose another place with -d"
    )
    with ShardWriter(tmp_path, PROVENANCE) as writer:
        writer.add(rows("a"))
    assert stored_ids(tmp_path) == [["a"]]


def test_another_models_store_is_refused_by_name(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, PROVENANCE) as writer:
        writer.add(rows("a"))
    other = replace(PROVENANCE, model="sscd_b", weights_sha256="b" * 64)
    with pytest.raises(StoreError) as caught, ShardWriter(tmp_path, other):
        pass
    assert str(caught.value) == (
        f"{tmp_path}/shard-000000.parquet holds descriptors that cannot be mixed with this run's: "
        "sscd_a (weights aaaaaaaaaaaa) against sscd_b (weights bbbbbbbbbbbb); "
        f"choose another folder with -d, or remove {tmp_path}"
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [("cat.jpg", "images"), ("deep/er/cat.PNG", "images"), ("a.txt", "other files")],
)
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"x")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StoreError) as caught, ShardWriter(tmp_path, PROVENANCE):
        pass
    assert str(caught.value) == (
        f"{tmp_path} holds {kind}, not descriptors; choose a new or empty folder with -d"
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "cat.jpg"
    place.write_bytes(b"x")
    with pytest.raises(StoreError) as caught, ShardWriter(place, PROVENANCE):
        pass
    assert str(caught.value) == f"{place} is a file; choose another place with -d"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "the disk is full; free some space and run the same command again"),
        (errno.EDQUOT, "the disk is full; free some space and run the same command again"),
        (errno.EIO, "Input/output error; choose another place with -d"),
    ],
)
def test_a_failing_disk_leaves_whole_shards_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, message: str
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    with (
        pytest.raises(StoreError) as caught,
        ShardWriter(tmp_path, PROVENANCE, rows_per_shard=2) as writer,
    ):
        writer.add(rows("ab"))
        monkeypatch.setattr(os, "fsync", fail)
        writer.add(rows("cde"))
    assert str(caught.value) == f"cannot write to {tmp_path}: {message}"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "shard-000000.parquet"]


def test_a_full_disk_keeps_what_is_finished_and_the_next_run_goes_on(small_disk: Path) -> None:
    wide = replace(PROVENANCE, dimensions=512)
    many = [row(str(number), dimensions=512) for number in range(96)]
    with (
        pytest.raises(StoreError) as caught,
        ShardWriter(small_disk, wide, rows_per_shard=16) as writer,
    ):
        writer.add(many)
    assert str(caught.value) == (
        f"cannot write to {small_disk}: the disk is full; "
        "free some space and run the same command again"
    )
    finished = stored_ids(small_disk)
    assert finished
    assert not list(small_disk.glob(".*.part"))
    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
    with ShardWriter(small_disk, wide, rows_per_shard=16) as writer:
        writer.add(many[16 * len(finished) :])
    together = [name for names in stored_ids(small_disk) for name in names]
    assert together == [each.id for each in many]


def test_a_read_only_disk_is_named(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for folder, message in (
        (small_disk, "Read-only file system"),
        (small_disk / "new", "Read-only file system"),
    ):
        with pytest.raises(StoreError) as caught, ShardWriter(folder, PROVENANCE):
            pass
        assert str(caught.value) == (
            f"cannot write to {folder}: {message}; choose another place with -d"
        )


def test_a_folder_without_write_permission_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "open", refuse)  # root may write anywhere, so it is played
    with pytest.raises(StoreError) as caught, ShardWriter(tmp_path, PROVENANCE):
        pass
    assert str(caught.value) == (
        f"cannot write to {tmp_path}: Permission denied; choose another place with -d"
    )


def test_a_damaged_shard_stops_the_next_run(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, PROVENANCE) as writer:
        writer.add(rows("a"))
    shard = tmp_path / "shard-000000.parquet"
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(StoreError) as caught, ShardWriter(tmp_path, PROVENANCE):
        pass
    assert str(caught.value) == f"{shard} is damaged; delete it and run sscd embed again"
    shard.unlink()
    with ShardWriter(tmp_path, PROVENANCE) as writer:
        writer.add(rows("a"))
    assert stored_ids(tmp_path) == [["a"]]
