"""The options of `sscd train`, as `sscd_cli.options` has those of the other commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sscd_cli import words
from sscd_cli.words import Help


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """A training run; the defaults are those of the paper's recommended set-up unless said."""

    sources: words.Sources
    output: Annotated[Path, Help("The run's folder.", "-o", value="FOLDER")]
    trunk: Annotated[str, Help("mini, resnet18, resnet50 or resnext101_32x4d.", value="WORD")] = (
        "resnet50"
    )
    dimensions: Annotated[int, Help("Length of a descriptor.")] = 512
    augmentations: Annotated[
        str, Help("simclr, strong-blur, advanced, mixup, or our copies.", value="WORD")
    ] = "mixup"
    size: Annotated[int, Help("Pixels of a view's side.")] = 224
    inference_size: Annotated[int, Help("Pixels of the side at inference.")] = 288
    epochs: Annotated[int, Help("Passes over the images.")] = 100
    batch_size: Annotated[int, Help("Images in a step, over all processes.")] = 4096
    temperature: Annotated[float, Help("Of the InfoNCE loss.")] = 0.05
    entropy_weight: Annotated[
        float, Help("λ of the entropy loss; the paper advises 10 to begin.")
    ] = 30.0
    optimizer: Annotated[str, Help("lars, sgd or adamw.", value="WORD")] = "lars"
    learning_rate: Annotated[float, Help("At its peak, for a batch of 256.")] = 0.3
    momentum: Annotated[float, Help("Of SGD and LARS.")] = 0.9
    weight_decay: Annotated[float, Help("Of all weights.")] = 1e-6
    warmup_epochs: Annotated[float, Help("Of rising learning rate.")] = 5.0
    init: Annotated[Path | None, Help("Start from this model file.")] = None
    name: Annotated[str, Help("What the model is called.")] = "custom"
    data_note: Annotated[str, Help("Sources and licences, for the file.")] = ""
    holdout: Annotated[int, Help("Images kept for validation.")] = 200
    validate_every: Annotated[int, Help("Epochs between validations.")] = 5
    workers: Annotated[int, Help("Processes that make views.")] = 4
    device: words.Device = "auto"
    precision: words.Precision = "auto"
    seed: Annotated[int, Help("Of everything random.")] = 0
    resume: Annotated[bool, Help("Go on from the last checkpoint.")] = False
