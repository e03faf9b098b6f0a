"""The options of `sscd train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from sscd_cli.choices import Augmentations, Trunk
from sscd_cli.errors import UsageError
from sscd_cli.options import shared
from sscd_cli.options.help import Help, Options, Range

_SIDES = Range(least=32, most=4096)


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """A training run.

    The defaults are the paper's, but AdamW in steps of 192 images, as the bundled network had, in
    place of LARS in steps of 4,096, which take eight GPUs.
    """

    sources: shared.Sources
    output: Annotated[Path, Help("The run's folder.", "-o", value="FOLDER")]
    trunk: Annotated[
        Trunk,
        Help("mini, efficientnet_lite0, resnet18, resnet50, resnext101_32x4d or resnext101_32x8d."),
    ] = "resnet50"
    dimensions: Annotated[
        int,
        Help(
            "Length of a descriptor.",
            within=Range(least=1, most=(1 << 16) - 1),
            variable="SSCD_TRAIN_DIMENSIONS",
        ),
    ] = 512
    augmentations: Annotated[
        Augmentations, Help("simclr, strong-blur, advanced, mixup, or our copies.")
    ] = "mixup"
    size: Annotated[int, Help("Pixels of a view's side.", within=_SIDES)] = 224
    inference_size: Annotated[int, Help("Pixels of the side at inference.", within=_SIDES)] = 288
    epochs: Annotated[
        int, Help("Passes over the images.", within=Range(least=1, most=1_000_000))
    ] = 100
    batch_size: Annotated[
        int,
        Help(
            "Images in a step, over all processes.",
            within=Range(least=2, most=1 << 20),
            variable="SSCD_TRAIN_BATCH_SIZE",
        ),
    ] = 192
    temperature: Annotated[
        float, Help("Temperature of the InfoNCE loss.", within=Range(above=0))
    ] = 0.05
    entropy_weight: Annotated[
        float,
        Help("λ of the entropy loss; the paper advises 10 to begin.", within=Range(least=0)),
    ] = 30.0
    optimizer: Annotated[Literal["adamw", "sgd"], Help("adamw or sgd.")] = "adamw"
    learning_rate: Annotated[
        float, Help("Highest learning rate, for a batch of 256.", within=Range(above=0))
    ] = 8e-4
    momentum: Annotated[float, Help("Momentum of SGD.", within=Range(least=0, below=1))] = 0.9
    weight_decay: Annotated[
        float, Help("Weight decay, the same for all weights.", within=Range(least=0))
    ] = 0.02
    warmup_epochs: Annotated[
        float, Help("Epochs in which the learning rate rises.", within=Range(least=0))
    ] = 5.0
    teacher: Annotated[
        str | None, Help("Draw views to this model's descriptors of the images.", value="NAME|FILE")
    ] = None
    contrastive_weight: Annotated[
        float, Help("Weight of InfoNCE and entropy beside --teacher.", within=Range(least=0))
    ] = 0.5
    init: Annotated[
        str | None,
        Help("Start from this network: a name, or the path of a model file.", value="NAME|FILE"),
    ] = None
    name: Annotated[str, Help("What the model is called.")] = "custom"
    data_note: Annotated[str, Help("Sources and licences, for the file.")] = ""
    holdout: Annotated[
        int, Help("Images kept for validation.", within=Range(least=0, most=1_000_000))
    ] = 200
    validate_every: Annotated[
        int, Help("Epochs between validations.", within=Range(least=1, most=1_000_000))
    ] = 5
    workers: Annotated[
        int | None,
        Help(
            "Processes that make views; by default one a core.",
            within=shared.WORKERS,
            variable="SSCD_TRAIN_WORKERS",
        ),
    ] = None
    device: shared.Device = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16"], Help("Number format of the trunk: auto, fp32 or bf16.")
    ] = "auto"
    seed: shared.Seed = 0
    resume: Annotated[bool, Help("Go on from the last checkpoint.")] = False

    def check(self) -> None:
        """Raise UsageError for what no images can make possible, before any work is done."""
        if self.holdout == 1:
            raise UsageError("--holdout 1 is too small", "use 2 or more, or 0 for no validation")
        if self.output.suffix.lower() in (".safetensors", ".pt", ".onnx"):
            what = f"--output {self.output} is the run's folder, not a model file"
            raise UsageError(what, "name a folder, in which model.safetensors will lie")
