"""`sscd train`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from sscd_cli.cli import arguments as words
from sscd_cli.cli import terminal
from sscd_cli.errors import printable
from sscd_cli.options import TrainOptions

if TYPE_CHECKING:
    from sscd_cli.train import TrainResult
    from sscd_cli.training.log import StepLog

SHOWN = 20
_default = TrainOptions(sources=(), output=Path())


def train(
    sources: words.Sources,
    output: Annotated[
        Path,
        words.option(
            "The run's folder.", "--output", "-o", show_default=False, callback=words.local
        ),
    ],
    trunk: Annotated[
        str, words.option("mini, resnet18, resnet50 or resnext101_32x4d.", "--trunk")
    ] = _default.trunk,
    dimensions: Annotated[
        int, words.option("Length of a descriptor.", "--dimensions")
    ] = _default.dimensions,
    augmentations: Annotated[
        str,
        words.option("simclr, strong-blur, advanced, mixup, or our copies.", "--augmentations"),
    ] = _default.augmentations,
    size: Annotated[int, words.option("Pixels of a view's side.", "--size")] = _default.size,
    inference_size: Annotated[
        int, words.option("Pixels of the side at inference.", "--inference-size")
    ] = _default.inference_size,
    epochs: Annotated[int, words.option("Passes over the images.", "--epochs")] = _default.epochs,
    batch_size: Annotated[
        int, words.option("Images in a step, over all processes.", "--batch-size")
    ] = _default.batch_size,
    temperature: Annotated[
        float, words.option("Of the InfoNCE loss.", "--temperature")
    ] = _default.temperature,
    entropy_weight: Annotated[
        float,
        words.option("λ of the entropy loss; the paper advises 10 to begin.", "--entropy-weight"),
    ] = _default.entropy_weight,
    optimizer: Annotated[str, words.option("lars, sgd or adamw.", "--optimizer")] = (
        _default.optimizer
    ),
    learning_rate: Annotated[
        float, words.option("At its peak, for a batch of 256.", "--learning-rate")
    ] = _default.learning_rate,
    momentum: Annotated[float, words.option("Of SGD and LARS.", "--momentum")] = _default.momentum,
    weight_decay: Annotated[
        float, words.option("Of all weights.", "--weight-decay")
    ] = _default.weight_decay,
    warmup_epochs: Annotated[
        float, words.option("Of rising learning rate.", "--warmup-epochs")
    ] = _default.warmup_epochs,
    init: Annotated[
        Path | None,
        words.option("Start from this model file.", "--init", show_default=False),
    ] = _default.init,
    name: Annotated[str, words.option("What the model is called.", "--name")] = _default.name,
    data_note: Annotated[
        str, words.option("Sources and licences, for the file.", "--data-note")
    ] = _default.data_note,
    holdout: Annotated[
        int, words.option("Images kept for validation.", "--holdout")
    ] = _default.holdout,
    validate_every: Annotated[
        int, words.option("Epochs between validations.", "--validate-every")
    ] = _default.validate_every,
    workers: Annotated[
        int, words.option("Processes that make views.", "--workers")
    ] = _default.workers,
    device: words.Device = _default.device,
    precision: words.Precision = _default.precision,
    seed: Annotated[int, words.option("Of everything random.", "--seed")] = _default.seed,
    resume: Annotated[
        bool, words.option("Go on from the last checkpoint.", "--resume")
    ] = _default.resume,
    quiet: words.Quiet = False,
    debug: words.Debug = False,
) -> None:
    """Train a network on images, by default as the paper did.

    The defaults are for eight GPUs or more. On several:
    torchrun --nproc-per-node N -m sscd_cli train …
    """
    from sscd_cli import train as verb

    options = TrainOptions(
        sources=tuple(sources),
        output=output,
        trunk=trunk,
        dimensions=dimensions,
        augmentations=augmentations,
        size=size,
        inference_size=inference_size,
        epochs=epochs,
        batch_size=batch_size,
        temperature=temperature,
        entropy_weight=entropy_weight,
        optimizer=optimizer,
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        warmup_epochs=warmup_epochs,
        init=init,
        name=name,
        data_note=data_note,
        holdout=holdout,
        validate_every=validate_every,
        workers=workers,
        device=device,
        precision=precision,
        seed=seed,
        resume=resume,
    )
    _summarise(verb.run(options, _show))


def _summarise(result: TrainResult) -> None:
    for name in result.unreadable[:SHOWN]:
        terminal.note(f"unreadable, replaced by another image: {printable(name)}")
    if len(result.unreadable) > SHOWN:
        terminal.note(f"unreadable: and {len(result.unreadable) - SHOWN:,} more")
    if not result.is_first:
        return
    terminal.note(f"{result.model}: trained on {result.images:,} images; log in {result.log}")
    if result.curves is None:
        terminal.note("no plot of the curves: pip install 'sscd-cli[plot]'")


def _show(step: StepLog) -> None:
    if step.validation is not None:
        terminal.note(f"epoch {step.epoch}: held-out µAP {step.validation:.4f}")
        return
    left = timedelta(seconds=round(step.seconds_left))
    terminal.note(
        f"epoch {step.epoch} step {step.step}/{step.steps}: loss {step.loss:.3f} "
        f"(InfoNCE {step.infonce:.3f}, entropy {step.entropy:.3f}), similarity of positives "
        f"{step.positive:.3f}, nearest negative {step.nearest_negative:.3f}; "
        f"{step.images_per_second:.0f} images/s, {left} left"
    )
