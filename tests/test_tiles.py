"""The join in tiles: by any number of tasks the pairs and the report of one machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run, Store, error_line, picture

from sscd_cli import join
from sscd_cli.matching import tiles
from sscd_cli.matching.clusters import find_copies
from sscd_cli.matching.tiles import Block, Tile, TilePlan, copies_of, join_tile
from sscd_cli.tasks import Task, all_tasks

ROWS, D = 500, 32


def vectors(rows: int = ROWS, seed: int = 0) -> Any:
    """Return unit vectors in float16: strangers, near copies in chains, and many identical rows."""
    generator = np.random.default_rng(seed)
    base = generator.standard_normal((rows, D))
    parents = generator.integers(0, rows, rows)
    near = generator.random(rows) < 0.4
    base[near] = base[parents[near]] + 0.12 * generator.standard_normal((int(near.sum()), D))
    same = generator.random(rows) < 0.2
    base[same] = base[generator.integers(0, rows // 10, int(same.sum()))]
    return (base / np.linalg.norm(base, axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize("rows", [0, 1, 6, 7, 8, 50, 250])
def test_every_pair_of_rows_is_in_exactly_one_tile_of_one_task(rows: int) -> None:
    plan = TilePlan(rows, 7)
    seen = np.zeros((rows, rows), int)
    for task in all_tasks(4):
        for tile in plan.tiles(task):
            (a, b), (c, d) = plan.span(tile.left), plan.span(tile.right)
            inside = np.triu(np.ones((rows, rows), bool), 1)
            window = np.zeros((rows, rows), bool)
            window[a:b, c:d] = True
            seen += window & inside
    assert (seen == np.triu(np.ones((rows, rows), int), 1)).all()


def test_a_plan_has_no_more_files_than_a_folder_bears() -> None:
    assert len(TilePlan.of(10).tiles()) == 1
    assert len(TilePlan.of(100_000).tiles()) == 10
    assert len(TilePlan.of(10**9).tiles()) == 128 * 129 // 2


def test_missing_tiles_are_those_of_their_tasks() -> None:
    plan = TilePlan(100, 10)
    assert plan.tasks_of([Tile(0, 0), Tile(0, 4)], 4) == [Task(4, 1)]
    for task in all_tasks(5):
        assert plan.tasks_of(plan.tiles(task), 5) == [task]


@pytest.mark.parametrize("method", ["exact"])
@pytest.mark.parametrize("block_rows", [64, 199, 1000])
def test_tiles_find_what_one_join_finds(method: Any, block_rows: int) -> None:
    rows = vectors()
    counted = np.sort(np.random.default_rng(1).choice(ROWS, 400, replace=False))
    plan = TilePlan(ROWS, block_rows)
    blocks = [np.arange(*plan.span(number)) for number in range(-(-ROWS // block_rows))]
    cut = {number: Block(some, rows[some]) for number, some in enumerate(blocks)}
    found = [join_tile(cut[t.left], cut[t.right], 0.75, method) for t in plan.tiles()]
    ours = copies_of(found, counted, rows[counted], 0.75, method)
    theirs = find_copies(rows[counted], 0.75, method)
    assert len(theirs.pairs) > 50
    np.testing.assert_array_equal(ours.group, theirs.group)
    np.testing.assert_array_equal(ours.pairs.left, theirs.pairs.left)
    np.testing.assert_array_equal(ours.pairs.right, theirs.pairs.right)
    np.testing.assert_array_equal(ours.pairs.similarity, theirs.pairs.similarity)
    assert ours.recall == theirs.recall


def test_a_placeholder_in_every_row_is_no_explosion() -> None:
    rows = np.repeat(vectors(1), 3000, axis=0)
    block = Block(np.arange(3000), rows)
    assert len(join_tile(block, block, 0.75, "exact").pairs) == 0
    other = Block(np.arange(3000, 6000), rows)
    assert len(join_tile(block, other, 0.75, "exact").pairs) == 1


@pytest.fixture
def dataset(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a dataset of 60 files whose join has ten tiles."""
    monkeypatch.setattr(tiles, "LEAST_ROWS", 16)
    rows = vectors(60, seed=3).astype(np.float32)
    files = {picture(tmp_path / f"p/{i:02}.png", i): row for i, row in enumerate(rows)}
    return store(tmp_path / "descriptors", files)


def joined(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("join-*/tile-*.parquet"))


@pytest.mark.parametrize("linkage", ["leader", "components", "complete"])
def test_tasks_lead_to_the_report_of_one_machine(
    sscd: Run, dataset: Path, linkage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("dedup", "-f", "jsonl", "--linkage", linkage)
    one = sscd(*words)
    assert one.lines
    for number in (2, 4, 1, 3):
        ran = sscd("dedup", "--task", f"{number}/4")
        assert (ran.status, ran.out) == (0, b"")
    assert len(joined(dataset)) == 10

    def never(*_: object) -> None:
        raise AssertionError("the pairs were there already")

    monkeypatch.setattr("sscd_cli.matching.clusters.find_copies", never)
    assert sscd(*words) == one
    again = sscd("dedup", "--task", "1/1")
    assert "part 1/1: 10 tiles, 0 joined now" in again.err


def test_missing_tasks_are_named_and_any_division_completes_them(sscd: Run, dataset: Path) -> None:
    one = sscd("dedup", "-t", "0.8")
    for number in (1, 3):
        sscd("dedup", "-t", "0.8", "--task", f"{number}/4")
    assert error_line(sscd("dedup", "-t", "0.8")) == (
        "parts 2/4, 4/4 of the join of descriptors are missing; "
        "run sscd dedup -d descriptors -t 0.8 --task 2/4"
    )
    assert sscd("dedup").status == 0  # at another threshold nothing has begun
    assert "10 tiles, 5 joined now" in sscd("dedup", "-t", "0.8", "--task", "1/1").err
    assert sscd("dedup", "-t", "0.8") == one


def test_a_dataset_that_grew_is_joined_anew(
    sscd: Run, dataset: Path, tmp_path: Path, store: Store
) -> None:
    sscd("dedup", "--task", "1/1")
    twin = {picture(tmp_path / "p/new.png", 5): vectors(60, seed=3)[5].astype(np.float32)}
    store(dataset, twin)
    report = sscd("dedup", "-f", "jsonl").out
    assert b"new.png" in report
    for number in (1, 2):
        sscd("dedup", "--task", f"{number}/2")
    assert len(list(dataset.glob("join-*"))) == 2
    assert sscd("dedup", "-f", "jsonl").out == report


def test_rows_that_were_replaced_take_no_copies_with_them(
    sscd: Run, dataset: Path, tmp_path: Path, store: Store
) -> None:
    rows = vectors(60, seed=3).astype(np.float32)
    changed = {}
    for i in range(0, 60, 3):  # the first of many identical rows is superseded
        path = picture(tmp_path / f"p/{i:02}.png", 100 + i)
        changed[path] = rows[(i + 7) % 60]
    store(dataset, changed)
    one = sscd("dedup", "-f", "jsonl")
    for number in (1, 2, 3):
        sscd("dedup", "--task", f"{number}/3")
    assert sscd("dedup", "-f", "jsonl") == one


def test_a_damaged_tile_is_named(sscd: Run, dataset: Path) -> None:
    sscd("dedup", "--task", "1/1")
    (folder,) = dataset.glob("join-*")
    folder.joinpath("tile-001-002.parquet").write_bytes(b"PAR1")
    name = f"descriptors/{folder.name}/tile-001-002.parquet"
    assert error_line(sscd("dedup")) == f"{name} is damaged; delete it and run that task again"


@pytest.mark.parametrize("words", [("p",), ("--engine", "ray")], ids=lambda words: words[0])
def test_a_task_is_of_a_whole_dataset(sscd: Run, dataset: Path, words: tuple[str, ...]) -> None:
    ran = sscd("dedup", "--task", "1/2", *words)
    assert ran.status == 2
    assert error_line(ran) == (
        "--task is one part of the join of a whole dataset; leave out the sources and --engine"
    )


@pytest.mark.parametrize("option", ["--against", "--post", "--score-norm"])
@pytest.mark.parametrize("words", [("--task", "1/2"), ("--engine", "ray")])
def test_what_only_one_machine_can_do_is_refused(
    sscd: Run, dataset: Path, option: str, words: tuple[str, ...]
) -> None:
    ran = sscd("dedup", *words, option, "descriptors")
    assert ran.status == 2
    assert error_line(ran) == f"{option} runs on one machine; leave out --task and --engine"


KILLED = """
import os, signal, sys
from sscd_cli import join
from sscd_cli.__main__ import main
from sscd_cli.matching import tiles
tiles.LEAST_ROWS = 16
save, left = join._save, 2
def saved(*args):
    global left
    save(*args)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
join._save = saved
main(sys.argv[1:])
"""


def test_a_killed_task_keeps_its_tiles_and_goes_on(sscd: Run, dataset: Path) -> None:
    one = sscd("dedup", "-f", "jsonl")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "dedup", "--task", "1/2"],
        env={**os.environ, "PYTHONPATH": str(Path(join.__file__).parents[1])},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(joined(dataset)) == 2
    assert "parts 1/2, 2/2 of the join" in error_line(sscd("dedup"))
    assert "part 1/2: 5 tiles, 3 joined now" in sscd("dedup", "--task", "1/2").err
    sscd("dedup", "--task", "2/2")
    assert sscd("dedup", "-f", "jsonl") == one


def test_joins_may_be_deleted(sscd: Run, dataset: Path) -> None:
    one = sscd("dedup")
    sscd("dedup", "--task", "1/2")
    for folder in dataset.glob("join-*"):
        shutil.rmtree(folder)
    assert sscd("dedup") == one
