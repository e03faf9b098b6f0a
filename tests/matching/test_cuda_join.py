"""The join on a GPU, run on the CPU: the pairs of the exact join, byte for byte."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Run, Store, picture
from joins import as_dict, assert_same, brute_force, descriptors, unit

from sscd_cli.errors import SscdError
from sscd_cli.joining import tasks as tasks_of_join
from sscd_cli.joining.tiles import Block, join_tile
from sscd_cli.matching import cuda, join
from sscd_cli.matching.clusters import find_copies
from sscd_cli.matching.join import cross_pairs, find_pairs, gpu_for, plan_join


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tiles of sizes that divide nothing, and a device that is the CPU to the code under test."""
    monkeypatch.setattr(cuda, "HELD", 96)
    monkeypatch.setattr(cuda, "ROWS", 32)
    monkeypatch.setattr(cuda, "COLUMNS", 40)
    forget = cuda.seconds_a_cell.cache_clear
    yield
    forget()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU called "cpu"."""
    monkeypatch.setattr(join, "gpu_for", lambda device, seconds: "cpu")


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.5, 0.75, 1.0])
def test_pairs_equal_brute_force(dtype: type, threshold: float) -> None:
    rows = descriptors(230, dtype=dtype)
    assert as_dict(find_pairs(rows, threshold)) == brute_force(rows, threshold)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("dimensions", [64, 512, 1024])
def test_the_device_does_not_show(dimensions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = descriptors(500, dimensions, dtype=np.float16)
    bias = np.random.default_rng(1).uniform(-0.2, 0.2, 500).astype(np.float32)
    found = find_pairs(rows, 0.7), find_pairs(rows, 0.7, bias_N=bias)
    crossed, itself = cross_pairs(rows[:170], rows[170:], 0.7), cross_pairs(rows, rows, 0.7)
    monkeypatch.undo()
    assert len(found[0]) > 50
    assert_same(found[0], find_pairs(rows, 0.7, "exact"))
    assert_same(found[1], find_pairs(rows, 0.7, "exact", bias))
    assert_same(crossed, cross_pairs(rows[:170], rows[170:], 0.7))
    assert_same(itself, cross_pairs(rows, rows, 0.7))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("dimensions", [32, 512, 2048])
def test_no_product_falls_short_by_more_than_the_margin(dtype: type, dimensions: int) -> None:
    """Rows that resemble each other closely: every cell is at or just above its own cut."""
    generator = np.random.default_rng(3)
    base = generator.standard_normal((1, dimensions))
    rows = unit(base + generator.uniform(0, 0.5) * generator.standard_normal((60, dimensions)))
    rows = (rows * np.float32(1.0005)).astype(dtype)
    exact = rows.astype(np.float64) @ rows.astype(np.float64).T
    for row, column in [(0, 1), (5, 40), (17, 18), (30, 59)]:
        cells = cuda.marked_cells(rows, rows, float(exact[row, column]), "cpu")
        marked = {pair for two in cells for pair in zip(*map(np.ndarray.tolist, two), strict=True)}
        upper = np.triu(exact >= exact[row, column], 1)
        assert set(zip(*map(np.ndarray.tolist, np.nonzero(upper)), strict=True)) <= marked


def test_few_cells_beside_the_pairs_come_back() -> None:
    rows = descriptors(400, 512, dtype=np.float16)
    marked = sum(len(left) for left, _ in cuda.marked_cells(rows, rows, 0.75, "cpu"))
    pairs = len(find_pairs(rows, 0.75, "exact"))
    assert pairs <= marked <= len(find_pairs(rows, 0.75 - 2 * cuda.margin(512), "exact"))


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_rows_have_no_cells(count: int) -> None:
    rows, others = descriptors(2)[:count], descriptors(90)
    assert not list(cuda.marked_cells(rows[:0], others, 0.5, "cpu"))
    assert not list(cuda.marked_cells(others, rows[:0], 0.5, "cpu"))
    assert not sum(len(left) for left, _ in cuda.marked_cells(rows, rows, 0.5, "cpu"))


def test_sums_are_made_in_float32_and_the_setting_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings, seen = torch.backends.cuda.matmul, []
    product = torch.mm

    def watched(*rows: torch.Tensor) -> torch.Tensor:
        seen.append(settings.allow_fp16_reduced_precision_reduction)
        return product(*rows)

    monkeypatch.setattr(torch, "mm", watched)
    before = settings.allow_fp16_reduced_precision_reduction
    list(cuda.marked_cells(descriptors(50), descriptors(50), 0.5, "cpu"))
    assert before
    assert seen
    assert not any(seen)
    assert settings.allow_fp16_reduced_precision_reduction == before


def test_too_little_memory_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*rows: torch.Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "mm", full)
    with pytest.raises(SscdError) as caught:
        list(cuda.marked_cells(descriptors(50), descriptors(50), 0.5, "cpu"))
    assert str(caught.value) == "cpu has too little memory left; add --device cpu"


def test_a_gpu_is_looked_for_only_where_the_work_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> bool:
        raise AssertionError("looked for a GPU")

    monkeypatch.setattr(join, "has_cuda_driver", asked)
    assert gpu_for("cpu", math.inf) is None
    assert gpu_for("auto", join.GPU_SECONDS / 2) is None
    assert gpu_for("cuda:1", 0.0) == "cuda:1"
    with pytest.raises(AssertionError):
        gpu_for("auto", join.GPU_SECONDS * 2)
    monkeypatch.setattr(join, "has_cuda_driver", lambda: True)
    for works in (False, True):
        monkeypatch.setattr(cuda, "has_gpu", lambda works=works: works)
        assert gpu_for("auto", math.inf) == ("cuda" if works else None)


def test_a_device_that_multiplies_wrongly_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    taken = cuda.seconds_a_cell
    monkeypatch.setattr(cuda, "seconds_a_cell", lambda device, width: taken("cpu", width))
    assert cuda.has_gpu()
    product = torch.mm
    taken.cache_clear()
    monkeypatch.setattr(torch, "mm", lambda left, right: product(left, right) * 0.9)
    assert not cuda.has_gpu()
    with pytest.raises(SscdError, match="cpu multiplies wrongly; add --device cpu"):
        taken("cpu", 512)


@pytest.mark.usefixtures("gpu")
def test_a_plan_names_the_device_and_what_a_tile_took_it() -> None:
    rows = descriptors(300, 512, dtype=np.float16)
    plan = plan_join(rows, 0.75)
    assert (plan.method, plan.device, plan.groups) == ("exact", "cpu", None)
    assert plan.seconds == 300**2 / 2 * cuda.seconds_a_cell("cpu", 512)
    assert plan_join(rows, 0.75, "groups").device is None
    assert plan_join(rows, 0.75, device="auto").device is None, "the CPU takes less"
    announced = []
    copies = find_copies(rows, 0.75, announce=announced.append)
    assert announced[0].device == "cpu"
    assert copies.recall is None


def test_tiles_are_the_same() -> None:
    rows = descriptors(300, 512, dtype=np.float16)
    rows[40] = rows[7]
    blocks = Block.of(np.arange(150), rows[:150]), Block.of(np.arange(150, 300), rows[150:])
    tiles = [(blocks[0], blocks[0]), (blocks[0], blocks[1])]
    for tile in tiles:
        ours, theirs = join_tile(*tile, 0.7, "cpu"), join_tile(*tile, 0.7)
        assert_same(ours.pairs, theirs.pairs)
        assert ours.twin.tolist() == theirs.twin.tolist()


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(SscdError, match=f"this machine has no CUDA device '{absent}'"):
        tasks_of_join.device_of(absent)
    assert tasks_of_join.device_of("auto") == "auto"


@pytest.mark.parametrize("words", [(), ("--task", "1/1"), ("--against", "others")])
def test_a_report_is_the_same_wherever_pairs_are_looked_for(
    sscd: Run, store: Store, tmp_path: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = descriptors(60)
    for name, some in (("descriptors", rows[:40]), ("others", rows[30:])):
        store(
            tmp_path / name,
            {picture(tmp_path / f"{name}-files/{i:02}.png", i): row for i, row in enumerate(some)},
        )
    report = ("dedup", "-t", "0.6", "-f", "jsonl", *(words if "--against" in words else ()))
    expected = sscd(*report, "--device", "cpu")
    used, looked = [], cuda.marked_cells
    with monkeypatch.context() as patched:
        for module in (join, tasks_of_join):
            patched.setattr(module, "gpu_for", lambda device, seconds: "cpu")
        patched.setattr(cuda, "marked_cells", lambda *a: used.append(a) or looked(*a))
        assert sscd(*(("dedup", "-t", "0.6", *words) if "--task" in words else report)).status == 0
        assert used
        again = sscd(*report)
    # the first line names the command
    assert (again.status, again.lines[1:]) == (expected.status, expected.lines[1:])
    assert expected.lines
