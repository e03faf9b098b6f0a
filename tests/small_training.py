"""A training so small that tests wait for it: a tiny network on a few drawn pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sscd_cli.images.refs import ImageRef
from sscd_cli.models.network import Network
from sscd_cli.options.train import TrainOptions
from sscd_cli.training.distributed import World
from sscd_cli.training.loop import Hyperparameters, Training


def small_options(pictures: Path, output: Path, **changes: Any) -> TrainOptions:
    """Return the options of two epochs on the CPU."""
    small = TrainOptions(
        sources=(str(pictures),),
        output=output,
        trunk="mini",
        dimensions=16,
        augmentations="copies",
        size=32,
        inference_size=32,
        epochs=2,
        batch_size=8,
        learning_rate=0.03,
        holdout=4,
        workers=0,
        device="cpu",
        precision="fp32",
    )
    return replace(small, **changes)


def training_of(
    options: TrainOptions, refs: Sequence[ImageRef], world: World | None = None
) -> Training:
    """Return the training of a new network, the same each time, on the CPU."""
    torch.manual_seed(0)
    return Training(
        Network(options.trunk, options.dimensions),
        refs,
        options.fill(Hyperparameters),
        device=torch.device("cpu"),
        autocast=False,
        world=world or World(),
    )
