"""The join in tiles: by any number of tasks the pairs and the report of one machine."""

from __future__ import annotations

import json
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
from divided import ROWS, vectors
from joins import crowd

from sscd_cli.joining import job as join_job
from sscd_cli.joining import pruned, tiles
from sscd_cli.joining.tiles import (
    Block,
    Tile,
    TilePairs,
    TilePlan,
    copies_of,
    join_tile,
    merged_tiles,
)
from sscd_cli.machines.tasks import Task, all_tasks
from sscd_cli.matching import clusters, groups
from sscd_cli.matching.clusters import cluster_copies, find_copies


@pytest.fixture(autouse=True)
def _few_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruned, "SIDE", 32)


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


def in_tiles(rows: Any, block_rows: int, choices: int | None = None) -> list[TilePairs]:
    """Join all tiles of some rows."""
    plan = TilePlan(len(rows), block_rows)
    numbers = [np.arange(*plan.span(block)) for block in plan.blocks]
    blocks = [Block.of(some, rows[some], choices) for some in numbers]
    return [join_tile(blocks[tile.left], blocks[tile.right], 0.75) for tile in plan.tiles()]


@pytest.fixture
def counted() -> Any:
    """Return which of the rows count; the others are older ones of the same images."""
    return np.sort(np.random.default_rng(1).choice(ROWS, 400, replace=False))


@pytest.mark.parametrize("choices", [None, 64])
@pytest.mark.parametrize("block_rows", [64, 199, 1000])
def test_tiles_find_what_one_join_finds(block_rows: int, choices: int | None, counted: Any) -> None:
    rows = vectors()
    found = merged_tiles(in_tiles(rows, block_rows, choices), ROWS)
    with_copy = np.intersect1d(found.rows, counted)
    ours = copies_of(found, with_copy, 0.75, rows[with_copy])
    theirs = find_copies(rows[counted], 0.75)
    number = np.searchsorted(counted, with_copy)
    assert set(np.flatnonzero(theirs.rows)) <= set(number)
    assert len(theirs.pairs) > 50
    groups = np.unique(theirs.group[number])
    np.testing.assert_array_equal(groups[ours.group], theirs.group[number])
    np.testing.assert_array_equal(groups[ours.pairs.left], theirs.pairs.left)
    np.testing.assert_array_equal(groups[ours.pairs.right], theirs.pairs.right)
    np.testing.assert_array_equal(ours.pairs.similarity, theirs.pairs.similarity)


def test_a_placeholder_in_every_row_is_no_explosion() -> None:
    rows = np.repeat(vectors(1), 6000, axis=0)
    first, across, second = in_tiles(rows, 3000)
    assert [len(tile.pairs) for tile in (first, across, second)] == [0, 0, 0]
    assert [len(tile.twin) for tile in (first, across, second)] == [2999, 1, 2999]


@pytest.mark.parametrize("everywhere", [True, False])
@pytest.mark.parametrize("every_row_counts", [True, False])
@pytest.mark.parametrize("choices", [None, 48])
@pytest.mark.parametrize("linkage", ["leader", "components"])
def test_too_many_pairs_are_a_forest_that_leads_to_the_same_clusters(
    linkage: Any,
    choices: int | None,
    every_row_counts: bool,
    everywhere: bool,
    counted: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = crowd(300, 200)
    parts = in_tiles(rows, 199, choices)
    counted = np.arange(ROWS) if every_row_counts else counted
    with_copy = np.intersect1d(merged_tiles(parts, ROWS).rows, counted)
    order = np.random.default_rng(2).permutation(len(with_copy))
    expected = cluster_copies(find_copies(rows[with_copy], 0.75), order, rows[with_copy], linkage)
    held = 1 if everywhere else max(len(part.pairs) for part in parts)
    monkeypatch.setattr(clusters, "_HELD", held)
    monkeypatch.setattr(clusters, "_HELD_A_ROW", 0)
    parts = in_tiles(rows, 199, choices)
    assert any(part.forest for part in parts) == everywhere
    found = merged_tiles(parts, ROWS)
    assert found.forest
    assert len(found.pairs) < len(found.rows) + held
    copies = copies_of(found, with_copy, 0.75, rows[with_copy])
    ours = cluster_copies(copies, order, rows[with_copy], linkage)
    np.testing.assert_array_equal(ours.component, expected.component)
    np.testing.assert_array_equal(ours.keeper, expected.keeper)
    np.testing.assert_allclose(ours.similarity, expected.similarity, atol=2e-6)
    np.testing.assert_allclose(ours.weakest_link, expected.weakest_link, atol=2e-6)


@pytest.fixture
def dataset(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a dataset of 60 files whose join has ten tiles."""
    monkeypatch.setattr(tiles, "LEAST_ROWS", 16)
    rows = vectors(60, seed=3).astype(np.float32)
    files = {picture(tmp_path / f"p/{i:02}.png", i): row for i, row in enumerate(rows)}
    return store(tmp_path / "descriptors", files)


@pytest.fixture
def pruning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the dataset one whose tiles are pruned."""
    monkeypatch.setattr(tiles, "LEAST_PRUNED_ROWS", 16)
    monkeypatch.setattr(join_job, "EXACT_ROWS", 59)
    monkeypatch.setattr(groups, "_SIMULATED", 500)


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
    if linkage != "components":  # the pairs say all
        monkeypatch.setattr("sscd_cli.matching.clusters.similarities", never)
    assert sscd(*words) == one
    again = sscd("dedup", "--task", "1/1")
    assert "part 1/1: 10 tiles, 0 joined now" in again.err


@pytest.mark.usefixtures("pruning")
def test_pruned_tiles_are_the_same_by_any_division(sscd: Run, dataset: Path) -> None:
    one = sscd("dedup", "-f", "jsonl", "--exact")
    made = []
    for count in (1, 3):
        for number in range(1, count + 1):
            assert sscd("dedup", "--task", f"{number}/{count}").status == 0
        (folder,) = dataset.glob("join-*")
        made.append({name: folder.joinpath(name).read_bytes() for name in joined(folder.parent)})
        ran = sscd("dedup", "-f", "jsonl")
        # the first line names the command
        assert ran.lines[1:] == one.lines[1:]
        assert "nearly all pairs found: recall on a sample 1.00000 (" in ran.err
        shutil.rmtree(folder)
    assert made[0] == made[1]
    assert len(made[0]) == 10


@pytest.mark.usefixtures("pruning")
def test_a_lower_recall_is_a_join_of_its_own(sscd: Run, dataset: Path) -> None:
    sscd("dedup", "--task", "1/1", "--min-recall", "0.5")
    sscd("dedup", "--task", "1/2")
    choices = [
        json.loads(path.read_bytes())["choices"] for path in dataset.glob("join-*/groups.json")
    ]
    assert len(set(choices)) == 2
    assert error_line(sscd("dedup")).endswith("run sscd dedup -d descriptors --task 2/2")
    assert sscd("dedup", "--min-recall", "0.5").status == 0
    sscd("dedup", "--task", "1/2", "--min-recall", "0.9")
    missing = error_line(sscd("dedup", "--min-recall", "0.9"))
    assert missing.endswith("run sscd dedup -d descriptors --min-recall 0.9 --task 2/2")


@pytest.mark.usefixtures("pruning")
@pytest.mark.parametrize("words", [("--exact",), ("--min-recall", "1")], ids=lambda words: words[0])
def test_tiles_are_exact_if_wanted(sscd: Run, dataset: Path, words: tuple[str, ...]) -> None:
    sscd("dedup", "--task", "1/1", *words)
    assert len(joined(dataset)) == 10
    assert not list(dataset.glob("join-*/groups.json"))
    assert "recall" not in sscd("dedup", *words).err


@pytest.mark.usefixtures("pruning")
def test_what_the_tasks_agreed_on_is_named_if_damaged(sscd: Run, dataset: Path) -> None:
    sscd("dedup", "--task", "1/1")
    (path,) = dataset.glob("join-*/groups.json")
    path.write_text("{")
    name = path.relative_to(dataset.parent)
    assert error_line(sscd("dedup")) == (
        f"{name} is damaged; delete {name.parent} and run its tasks again"
    )


@pytest.mark.parametrize(
    ("recall", "fault"), [("0", "too small"), ("1.5", "too large"), ("nan", "no number")]
)
def test_an_impossible_recall_is_refused(sscd: Run, dataset: Path, recall: str, fault: str) -> None:
    ran = sscd("dedup", "--min-recall", recall)
    assert ran.status == 2
    assert error_line(ran) == f"--min-recall {recall} is {fault}; use a number above 0 to 1"


TWICE = """
import sys, time
from sscd_cli.storage import files
from sscd_cli.__main__ import main
from sscd_cli.joining import tiles
tiles.LEAST_ROWS = 16
sync = files.os.fsync
files.os.fsync = lambda file: (time.sleep(0.05), sync(file))
sys.exit(main(sys.argv[1:]))
"""


def test_two_divisions_at_once_do_no_harm(sscd: Run, dataset: Path) -> None:
    one = sscd("dedup", "-f", "jsonl")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", TWICE, "dedup", "-q", "--task", task],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for task in ("1/1", "1/2", "2/2")
    ]
    assert [process.wait(timeout=120) for process in started] == [0, 0, 0]
    assert len(joined(dataset)) == 10
    assert not list(dataset.glob("join-*/*.part"))
    assert sscd("dedup", "-f", "jsonl") == one


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
    sscd("dedup", "--task", "1/1", "-t", "0.9")
    assert len(list(dataset.glob("join-*"))) == 2
    twin = {picture(tmp_path / "p/new.png", 5): vectors(60, seed=3)[5].astype(np.float32)}
    store(dataset, twin)
    report = sscd("dedup", "-f", "jsonl").out
    assert b"new.png" in report
    assert "removed" not in sscd("dedup", "--task", "1/2").err
    assert len(list(dataset.glob("join-*"))) == 3
    assert "2 joins of older descriptors removed" in sscd("dedup", "--task", "2/2").err
    assert len(list(dataset.glob("join-*"))) == 1
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
    what = "--engine" if words[0] == "--engine" else "SOURCE"
    assert error_line(ran) == f"{what} does nothing with --task; leave out {what} or --task"


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
from sscd_cli.joining import job as join_job
from sscd_cli.joining import tasks as join
from sscd_cli.__main__ import main
from sscd_cli.joining import tiles
tiles.LEAST_ROWS = 16
save, left = join.save_tile, 2
def saved(*args):
    global left
    save(*args)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
join.save_tile = saved
main(sys.argv[1:])
"""


def test_a_killed_task_keeps_its_tiles_and_goes_on(sscd: Run, dataset: Path) -> None:
    one = sscd("dedup", "-f", "jsonl")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "dedup", "--task", "1/2"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
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
