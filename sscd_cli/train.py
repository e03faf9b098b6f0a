"""`sscd train`: from photographs to a model file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from sscd_cli import __version__
from sscd_cli.errors import NoImagesError, SscdError, UsageError
from sscd_cli.options import TrainOptions

if TYPE_CHECKING:
    from sscd_cli.images.sources import ImageRef
    from sscd_cli.models.network import Network
    from sscd_cli.training.distributed import World
    from sscd_cli.training.log import StepLog
    from sscd_cli.training.loop import Training

MODEL, OPTIONS, CURVES = "model.safetensors", "options.json", "curves.png"


@dataclass(frozen=True)
class TrainResult:
    """Where a finished run lies; `curves` is None where matplotlib is not installed."""

    model: Path
    log: Path
    curves: Path | None
    images: int
    validation: float | None


def run(options: TrainOptions, progress: Callable[[StepLog], None]) -> TrainResult:
    """Train, or go on training, and write the model.

    The run folder holds the checkpoint, `log.csv`, `options.json` and, at the end,
    `model.safetensors` and `curves.png`. Under `torchrun` every process runs this; the first
    one writes.

    Raises: UsageError: impossible options. NoImagesError: nothing to train on. SscdError: the
    folder holds another run, or does not hold the one to resume.
    """
    _check(options)
    from sscd_cli.training.loop import CHECKPOINT, LOG, train

    training, held_out = _prepare(options)
    if options.resume:
        training.restore(options.output / CHECKPOINT)
    train(training, options.output, _validation(held_out, options), progress)
    log, model = options.output / LOG, options.output / MODEL
    if training.world.is_first:
        _export(training, model)
    return TrainResult(model, log, _plot(log), training.order.count, _last_validation(log))


def _check(options: TrainOptions) -> None:
    from sscd_cli.models.network import TRUNKS
    from sscd_cli.training.augment import AUGMENTATIONS

    for word, value, known in (
        ("trunk", options.trunk, TRUNKS),
        ("augmentations", options.augmentations, AUGMENTATIONS),
        ("optimizer", options.optimizer, ("lars", "sgd", "adamw")),
        ("precision", options.precision, ("auto", "fp32", "bf16")),
    ):
        if value not in known:
            raise UsageError(f"unknown {word} {value!r}", f"use one of {', '.join(known)}")
    for word, number in (("epochs", options.epochs), ("batch-size", options.batch_size - 1)):
        if number < 1:
            raise UsageError(f"--{word} is too small", f"use a larger --{word}")
    checkpoint = options.output / "checkpoint.pt"
    if options.resume and not checkpoint.exists():
        raise SscdError(f"there is no run to resume in {options.output}", "leave out --resume")
    if not options.resume and checkpoint.exists():
        raise SscdError(
            f"{options.output} holds a run already", "add --resume or name another --output"
        )


def _prepare(options: TrainOptions) -> tuple[Training, list[ImageRef]]:
    """Collect the images, seed, and put the network on its device."""
    import torch

    from sscd_cli.models.cpu import keep_large_allocations
    from sscd_cli.models.network import Network
    from sscd_cli.training.distributed import join_world
    from sscd_cli.training.loop import Training

    device = _device(options.device)
    world = join_world(device)
    if device.type == "cuda":
        device = torch.device("cuda", world.local_rank)
        torch.cuda.set_device(device)
    else:
        keep_large_allocations()
    refs, held_out = _split(_images(options), options)
    torch.manual_seed(options.seed)
    network = _start(options.init) if options.init else Network(options.trunk, options.dimensions)
    autocast = _wants_bfloat16(options.precision, device.type)
    training = Training(network, refs, options, device=device, autocast=autocast, world=world)
    _record(options, world)
    return training, held_out


def _device(name: str) -> Any:
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("this machine has no usable CUDA device", "use --device cpu")
    return torch.device(name)


def _wants_bfloat16(precision: str, device: str) -> bool:
    from sscd_cli.models.cpu import has_bfloat16

    if precision == "auto":
        return device == "cuda" or has_bfloat16()
    return precision == "bf16"


def _start(path: Path) -> Network:
    from sscd_cli.models.safetensors_file import load_network

    return load_network(path)[0]


def _images(options: TrainOptions) -> list[ImageRef]:
    from sscd_cli.images.sources import iter_images

    refs = list(iter_images(options.sources))
    if not refs:
        named = ", ".join(options.sources)
        raise NoImagesError(f"no images in {named}", "name a folder or tar file with images")
    return refs


def _split(
    refs: Sequence[ImageRef], options: TrainOptions
) -> tuple[list[ImageRef], list[ImageRef]]:
    """Hold out a random share for validation; the same images for the same seed."""
    if len(refs) < 2 * options.holdout:
        raise UsageError(
            f"{len(refs)} images are too few to hold {options.holdout} out", "lower --holdout"
        )
    held = set(Random(options.seed).sample(range(len(refs)), options.holdout))
    training = [ref for index, ref in enumerate(refs) if index not in held]
    return training, [refs[index] for index in sorted(held)]


def _record(options: TrainOptions, world: World) -> None:
    if world.is_first:
        options.output.mkdir(parents=True, exist_ok=True)
        text = json.dumps(_recipe(options), indent=1, default=str)
        (options.output / OPTIONS).write_text(text + "\n", encoding="utf-8")


def _recipe(options: TrainOptions) -> dict[str, Any]:
    """Return the options that a repetition needs, without this machine's paths."""
    left_out = {"output", "resume", "workers", "device", "sources", "init"}
    return {name: value for name, value in asdict(options).items() if name not in left_out}


def _validation(held_out: list[ImageRef], options: TrainOptions) -> Callable[[Network], float]:
    """Return a function that searches edited copies of the held-out images among them: µAP."""
    from PIL import Image

    from sscd_cli.evaluation.edits import VALIDATION_EDITS
    from sscd_cli.evaluation.self_copies import evaluate_copies
    from sscd_cli.training.views import open_ref, squashed

    def measure(network: Network) -> float:
        def embed(images: Sequence[Image.Image]) -> Any:
            return network.embed(squashed(images, options.inference_size))

        network.eval()
        originals = [open_ref(ref) for ref in held_out]
        return evaluate_copies(embed, originals, edits=VALIDATION_EDITS).micro_ap

    return measure


def _export(training: Training, path: Path) -> None:
    from sscd_cli.models.safetensors_file import save_network

    story = {
        "name": training.options.name,
        "preprocessing": {
            "name": f"square-{training.options.inference_size}",
            "size": training.options.inference_size,
            "square": True,
            "resample": "bilinear",
        },
        "training": _recipe(training.options),
        "images": training.order.count,
        "epochs": training.epoch,
        "tool": f"sscd {__version__}",
    }
    save_network(path, training.network, story)


def _plot(log: Path) -> Path | None:
    from sscd_cli.training.log import plot_curves

    picture = log.with_name(CURVES)
    return picture if plot_curves(log, picture) else None


def _last_validation(log: Path) -> float | None:
    from sscd_cli.training.log import read_steps

    measured = [step.validation for step in read_steps(log) if step.validation is not None]
    return measured[-1] if measured else None
