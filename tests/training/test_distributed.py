"""Two processes on the CPU, talking over gloo, train as one process with the joined batch.

Exactly in float64; in float32 as far as rounding goes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from small_training import small_options, training_of
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from sscd_cli.images.refs import ImageRef
from sscd_cli.training.distributed import (
    World,
    core_share,
    gather,
    join_world,
    leave_world,
)
from sscd_cli.training.loss import sscd_loss
from sscd_cli.training.views import EpochOrder

RANKS, IMAGES = 2, 4


def pixels_of(rank: int, ranks: int) -> Tensor:
    """Both views of a rank's images: all first views, then all second views."""
    draw = torch.Generator().manual_seed(0)
    first, second = torch.randint(
        0, 256, (2, IMAGES, 3, 32, 32), dtype=torch.uint8, generator=draw
    ).unbind()
    mine = slice(rank * IMAGES // ranks, (rank + 1) * IMAGES // ranks)
    return torch.cat([first[mine], second[mine]])


def linear_step(world: World) -> dict[str, Tensor]:
    """Loss and averaged gradient of a linear model in float64, where equal means equal."""
    torch.manual_seed(0)
    model: nn.Module = nn.Linear(3 * 32 * 32, 8).double()
    if world.size > 1:
        model = DistributedDataParallel(model)
    pixels = pixels_of(world.rank, world.size).double().flatten(1) / 255
    views = F.normalize(model(pixels), dim=1)
    rows, images = len(views), len(views) // 2
    match = torch.zeros(rows, rows * world.size, dtype=torch.bool)
    identity = torch.zeros_like(match)
    own = slice(world.rank * rows, (world.rank + 1) * rows)
    match[:, own] = torch.eye(images, dtype=torch.bool).repeat(2, 2)
    identity[:, own] = torch.eye(rows, dtype=torch.bool)
    parts = sscd_loss(views, gather(views, world), match, identity)
    parts.total.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"loss": parts.total.detach()} | named(gradients)


def network_step(world: World) -> dict[str, Tensor]:
    """Loss and gradients of one step of the training loop itself, by stored batch statistics."""
    refs = [ImageRef(str(i), "", str(i)) for i in range(IMAGES)]
    options = small_options(Path(), Path(), batch_size=IMAGES, augmentations="advanced")
    training = training_of(options, refs, world)
    training.model.eval()
    shown = np.arange(IMAGES // world.size)
    parts = training._forward(pixels_of(world.rank, world.size), shown)
    parts.total.backward()
    gradients = {n: p.grad for n, p in training.network.named_parameters() if p.grad is not None}
    return {"loss": parts.total.detach()} | named(gradients)


def named(tensors: dict[str, Any]) -> dict[str, Tensor]:
    return {name.removeprefix("module."): value.clone() for name, value in tensors.items()}


def steps(world: World) -> dict[str, dict[str, Tensor]]:
    return {
        "linear": linear_step(world),
        "network": network_step(world),
    }


def one_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(RANKS)}
    os.environ |= {"LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(RANKS)}
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=RANKS)
    world = join_world(torch.device("cpu"))
    assert world == World(rank, RANKS, rank, RANKS)
    assert world.is_first == (rank == 0)
    gathered = gather(torch.full((2, 3), float(rank)), world)
    result = {"gathered": {"rows": gathered}, **steps(world)}
    torch.save(result, f"{folder}/{rank}.pt")
    leave_world(world)
    assert not dist.is_initialized()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    folder = tmp_path_factory.mktemp("ranks")
    mp.start_processes(one_rank, (str(folder),), nprocs=RANKS, start_method="fork")  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]


@pytest.fixture(scope="module")
def alone() -> dict[str, dict[str, Tensor]]:
    return steps(World())


pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.mark.parametrize(("step", "tolerance"), [("linear", 1e-12), ("network", 1e-5)])
def test_ranks_have_the_loss_and_gradients_of_one_process(
    ranks: list[dict[str, dict[str, Tensor]]],
    alone: dict[str, dict[str, Tensor]],
    step: str,
    tolerance: float,
) -> None:
    mean_loss = (ranks[0][step]["loss"] + ranks[1][step]["loss"]) / 2
    torch.testing.assert_close(mean_loss, alone[step]["loss"], rtol=1e-4, atol=1e-9)
    assert float(mean_loss) > 1
    for name, expected in alone[step].items():
        if name != "loss":
            for rank in ranks:
                error = (rank[step][name].double() - expected.double()).norm()
                assert error <= tolerance * expected.double().norm(), name


def test_gather_puts_rows_in_rank_order(ranks: list[dict[str, dict[str, Tensor]]]) -> None:
    for rank in ranks:
        assert rank["gathered"]["rows"][:, 0].tolist() == [0, 0, 1, 1]


def test_one_process_gathers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    world = join_world(torch.device("cpu"))
    assert world == World(0, 1, 0)
    rows = torch.ones(2, 3)
    assert gather(rows, world) is rows
    leave_world(world)


@pytest.mark.parametrize(("count", "ranks"), [(12, 1), (12, 2), (13, 3)])
def test_ranks_share_out_every_epoch_without_overlap(count: int, ranks: int) -> None:
    whole = EpochOrder(count, 7, 0, 1)
    orders = [EpochOrder(count, 7, rank, ranks) for rank in range(ranks)]
    seen = []
    for epoch in range(2):
        for order in (whole, *orders):
            order.epoch = epoch
        dealt = [list(order) for order in orders]
        assert {len(part) for part in dealt} == {count // ranks} == {len(o) for o in orders}
        rows = zip(*dealt, strict=True)
        assert [item for row in rows for item in row] == list(whole)[: count // ranks * ranks]
        assert sorted(index for _, index in whole) == list(range(count))
        seen.append([index for _, index in whole])
    assert seen[0] != seen[1]


def test_each_process_makes_views_on_its_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sscd_cli.training.distributed.core_count", lambda: 16)
    shares = [core_share(World(local_size=processes)) for processes in (0, 1, 8, 32)]
    assert shares == [16, 16, 2, 1]
