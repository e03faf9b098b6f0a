"""Several processes under `torchrun`, or one by itself, with the same code."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from sscd_cli.machines.hardware import core_count


@dataclass(frozen=True)
class World:
    """Where this process stands: `rank` of `size`, `local_rank` of `local_size` on its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0


def join_world(device: torch.device) -> World:
    """Meet the other processes that `torchrun` started; alone without it."""
    if "WORLD_SIZE" not in os.environ:
        return World()
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    rank, size = (int(os.environ.get(f"LOCAL_{key}", "0")) for key in ("RANK", "WORLD_SIZE"))
    return World(dist.get_rank(), dist.get_world_size(), rank, size)


def core_share(world: World) -> int:
    """Return how many cores each process of this machine has, at least one."""
    return max(1, core_count() // max(1, world.local_size))


def wait_for_all(world: World) -> None:
    """Return when every process is here."""
    if world.size > 1:
        dist.barrier()


def leave_world(world: World) -> None:
    """Take leave of the other processes, after the last step."""
    if world.size > 1:
        dist.destroy_process_group()


class _Gather(torch.autograd.Function):
    """Concatenate every rank's rows; the gradient sums what every rank says of a row."""

    @staticmethod
    def forward(ctx: Any, rows_ND: Tensor) -> Tensor:
        ctx.rows = len(rows_ND)
        parts = [torch.empty_like(rows_ND) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows_ND.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient_MD = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient_MD)
        start = dist.get_rank() * ctx.rows
        return gradient_MD[start : start + ctx.rows]


def gather(rows_ND: Tensor, world: World) -> Tensor:
    """Return all ranks' rows (world.size · N, D) in rank order, differentiably. N must agree."""
    if world.size == 1:
        return rows_ND
    gathered: Tensor = _Gather.apply(rows_ND)  # type: ignore[no-untyped-call]
    return gathered
