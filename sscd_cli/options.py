"""Every option of every command with its default; the one place where defaults are stated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """A training run; the defaults are those of the paper's recommended set-up unless said."""

    sources: tuple[str, ...]
    output: Path
    trunk: str = "resnet50"
    dimensions: int = 512
    augmentations: str = "mixup"
    size: int = 224
    inference_size: int = 288
    epochs: int = 100
    batch_size: int = 4096
    temperature: float = 0.05
    entropy_weight: float = 30.0
    optimizer: str = "lars"
    learning_rate: float = 0.3
    momentum: float = 0.9
    weight_decay: float = 1e-6
    warmup_epochs: float = 5.0
    init: Path | None = None
    name: str = "custom"
    data_note: str = ""
    holdout: int = 200
    validate_every: int = 5
    workers: int = 4
    device: str = "auto"
    precision: str = "auto"
    seed: int = 0
    resume: bool = False
