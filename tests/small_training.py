"""A training so small that tests wait for it: a tiny network on a few drawn pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sscd_cli.options.train import TrainOptions


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
        optimizer="adamw",
        learning_rate=0.03,
        holdout=4,
        workers=0,
        device="cpu",
        precision="fp32",
    )
    return replace(small, **changes)
