"""Short training runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drawn_pictures import save_pictures
from small_training import small_options

from sscd_cli.commands import train as verb
from sscd_cli.errors import SscdError
from sscd_cli.options.train import TrainOptions
from sscd_cli.training.log import StepLog


def training_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    save_pictures(folder, 24)
    return folder


def options(pictures: Path, output: Path, **changes: Any) -> TrainOptions:
    named = {"warmup_epochs": 1, "validate_every": 2, "name": "tiny", "data_note": "drawn"}
    return small_options(pictures, output, **{**named, **changes})


def run(options: TrainOptions, progress: Callable[[StepLog], None] | None = None) -> Any:
    return verb.run(options, progress or (lambda step: None))


def failure(kind: type[SscdError], options: TrainOptions) -> str:
    with pytest.raises(kind) as caught:
        run(options)
    assert type(caught.value) is kind
    return str(caught.value)
