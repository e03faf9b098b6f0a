"""`sscd train`: from photographs to a model file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sscd_cli.choices import Trunk
from sscd_cli.edits.named import VALIDATION_EDITS
from sscd_cli.errors import NoImagesError, SscdError, UsageError
from sscd_cli.evaluation.self_copies import evaluate_copies
from sscd_cli.images.refs import ImageRef
from sscd_cli.images.sources import iter_images
from sscd_cli.machines.device import choose_device, choose_precision
from sscd_cli.machines.hardware import keep_large_allocations
from sscd_cli.models.catalogue.registry import find_model
from sscd_cli.models.files.safetensors_file import save_network
from sscd_cli.models.files.weights import inspect_weights, read_network
from sscd_cli.models.load import load_model
from sscd_cli.models.network import Network
from sscd_cli.options.train import TrainOptions
from sscd_cli.storage.files import whole_file
from sscd_cli.text import VERSION, counted, from_json
from sscd_cli.training.distributed import World, join_world, leave_world, wait_for_all
from sscd_cli.training.log import (
    StepLog,
    Validated,
    drop_unfinished_line,
    plot_curves,
    read_steps,
    writing,
)
from sscd_cli.training.loop import CHECKPOINT, LOG, Hyperparameters, Training, train
from sscd_cli.training.teacher import Teacher, teacher_codes
from sscd_cli.training.threshold import measured_threshold
from sscd_cli.training.views import readable, squashed

MODEL, OPTIONS, CURVES = "model.safetensors", "options.json", "curves.png"
VALIDATION_PIXELS = 1024
"""Longest side of a held-out image in memory, so that hundreds of them fit."""


@dataclass(frozen=True)
class TrainResult:
    """Where a finished run lies; `curves` is None where matplotlib is not installed.

    `validation` is that of the model, None where the run was killed before it was measured, and
    `threshold` the one that was measured on the `held_out` images, None where none was.
    `unreadable` names the images which this process could not read and replaced by others;
    `is_first`: this process is the one that wrote.
    """

    model: Path
    log: Path
    curves: Path | None
    images: int
    validation: float | None
    threshold: float | None = None
    held_out: int = 0
    unreadable: tuple[str, ...] = ()
    is_first: bool = True


def run(options: TrainOptions, progress: Callable[[StepLog], None]) -> TrainResult:
    """Train, or go on training, and write the model.

    The run folder holds the checkpoint, `log.csv`, `options.json` and, at the end,
    `model.safetensors` and `curves.png`. Under `torchrun` every process runs this; the first
    one writes.

    Raises: UsageError: impossible options. NoImagesError: nothing to train on. SscdError: the
    folder holds another run, or does not hold the one to resume.
    """
    _check(options)
    training, options, held_out = _prepare(options)
    if options.resume:
        _compare(options)
        training.restore(options.output / CHECKPOINT)
    if training.world.is_first:
        _record(options)
    train(training, options.output, _validation(held_out, options), progress)
    log, model = options.output / LOG, options.output / MODEL
    leave_world(training.world)
    unreadable = tuple(sorted(training.refs[index].id for index in training.unreadable))
    images = training.order.count
    result = TrainResult(model, log, None, images, None, unreadable=unreadable, is_first=False)
    if not training.world.is_first:
        return result
    threshold = _measure_threshold(training, held_out, options.inference_size)
    _export(training, options, model, threshold, len(held_out))
    curves, steps = options.output / CURVES, read_steps(log)
    return replace(
        result,
        curves=curves if plot_curves(log, curves) else None,
        validation=steps[-1].validation if steps else None,
        threshold=threshold,
        held_out=len(held_out),
        is_first=True,
    )


def _check(options: TrainOptions) -> None:
    checkpoint = options.output / CHECKPOINT
    if options.resume and not checkpoint.exists():
        raise SscdError(f"there is no run to resume in {options.output}", "leave out --resume")
    if not options.resume and checkpoint.exists():
        raise SscdError(
            f"{options.output} holds a run already", "add --resume or name another --output"
        )


def _prepare(options: TrainOptions) -> tuple[Training, TrainOptions, list[ImageRef]]:
    """Collect the images, seed, and put the network on its device.

    Returns: the training, the options with what the network says, and the images held out.
    """
    chosen = choose_device(options.device)
    precision = choose_precision(options.precision, chosen)
    device = torch.device(str(chosen))
    world = join_world(device)
    if options.batch_size % world.size:
        raise UsageError(
            f"--batch-size {options.batch_size} cannot be shared by {world.size} processes",
            "use a multiple of their number",
        )
    if device.type == "cuda":
        device = torch.device("cuda", world.local_rank if world.size > 1 else device.index or 0)
        torch.cuda.set_device(device)
    else:
        keep_large_allocations()
    refs, held_out = _split(_images(options), options)
    torch.manual_seed(options.seed)
    network = _start(options.init) if options.init else Network(options.trunk, options.dimensions)
    trunk = cast(Trunk, network.trunk)
    options = replace(options, trunk=trunk, dimensions=network.dimensions)
    training = Training(
        network,
        refs,
        options.fill(Hyperparameters),
        device=device,
        autocast=precision == "bf16",
        world=world,
        teacher=_teacher(refs, options, world),
    )
    return training, options, held_out


def _teacher(refs: Sequence[ImageRef], options: TrainOptions, world: World) -> Teacher | None:
    """Ask the teacher what it says of the images; where there are several processes, in the first.

    Raises: ModelError: there is no such teacher. UsageError: its descriptors are of another length.
    """
    if options.teacher is None:
        return None
    model = load_model(options.teacher, device=options.device)
    if model.runtime.width("descriptor") != options.dimensions:
        taught = model.runtime.width("descriptor")
        what = f"{options.teacher} gives {taught} dimensions, the network {options.dimensions}"
        raise UsageError(what, f"use --dimensions {taught}")
    if not world.is_first:
        wait_for_all(world)
    codes = teacher_codes(model, refs, options.output)
    if world.is_first:
        wait_for_all(world)
    return Teacher(codes, options.temperature, options.seed)


def _start(name: str) -> Network:
    spec = find_model(name)
    if spec.trunk == "onnx":
        raise UsageError(f"{name} is an ONNX file, which is not trained", "name a weight file")
    return read_network(inspect_weights(spec.path))


def _images(options: TrainOptions) -> list[ImageRef]:
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
        what = (
            f"{counted(len(refs), 'images')} are fewer than twice the {options.holdout} that "
            "--holdout keeps for validation"
        )
        fewer = len(refs) // 2 if len(refs) >= 4 else 0  # none, or two at least
        raise UsageError(what, f"name more images, or use --holdout {fewer}")
    held = set(Random(options.seed).sample(range(len(refs)), options.holdout))
    training = [ref for index, ref in enumerate(refs) if index not in held]
    return training, [refs[index] for index in sorted(held)]


def _record(options: TrainOptions) -> None:
    """Write the options. A run killed before its first checkpoint left a log, which goes."""
    path, log = options.output / OPTIONS, options.output / LOG
    with writing(path):
        options.output.mkdir(parents=True, exist_ok=True)
        if not options.resume:
            log.unlink(missing_ok=True)
        with whole_file(path) as file:
            file.write(f"{json.dumps(_recipe(options), indent=1, default=str)}\n".encode())
    drop_unfinished_line(log)


def _compare(options: TrainOptions) -> None:
    """Refuse to resume with options that would make another run of it.

    With another seed, say, held-out images would be trained on. Its length, the size of the views
    and the augmentations may change: a run may end on larger views.
    """
    recipe, path = _recipe(options), options.output / OPTIONS
    try:
        before = from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for name in ("seed", "holdout", "batch_size", "optimizer", "trunk", "dimensions"):
        if before.get(name, recipe[name]) != recipe[name]:
            raise SscdError(
                f"the run in {path.parent} had --{name.replace('_', '-')} {before[name]}",
                "repeat that run's options, or name another --output",
            )


def _recipe(options: TrainOptions) -> dict[str, Any]:
    """Return the options that a repetition needs, without this machine's paths."""
    left_out = {"output", "resume", "workers", "device", "sources", "init", "teacher"}
    return {name: value for name, value in asdict(options).items() if name not in left_out}


def _validation(
    held_out: list[ImageRef], options: TrainOptions
) -> Callable[[Network], Validated] | None:
    """Return a function that searches edited copies of the held-out images among them: µAP.

    With a teacher it tells, too, how near whole images are to what the teacher says of them.
    It raises SscdError where fewer than two of them can be read.
    """
    if not held_out:
        return None
    taught = _taught(held_out, options)

    def measure(network: Network) -> Validated:
        def embed(images: Sequence[Image.Image]) -> Any:
            return network.embed(squashed(images, options.inference_size))

        network.eval()
        originals = list(readable(held_out, VALIDATION_PIXELS))
        if len(originals) < 2:
            raise SscdError(
                f"{len(originals)} of the {len(held_out)} held-out images can be read",
                "check the images, or use --holdout 0 for no validation",
            )
        quality = evaluate_copies(embed, originals, edits=VALIDATION_EDITS).micro_ap
        if taught is None:
            return Validated(quality)
        rows = np.concatenate([np.asarray(embed([image]), np.float32) for image in originals])
        return Validated(quality, float((rows * taught).sum(axis=1).mean()))

    return measure


def _taught(held_out: list[ImageRef], options: TrainOptions) -> NDArray[np.float32] | None:
    """Return what the teacher says of the held-out images that can be read."""
    if options.teacher is None:
        return None
    images = list(readable(held_out, VALIDATION_PIXELS))
    return np.asarray(load_model(options.teacher, device=options.device).embed(images))


def _measure_threshold(training: Training, held_out: list[ImageRef], size: int) -> float | None:
    """Return what no two different held-out images reach, None where there are too few."""
    network = training.network
    pixels = [squashed([image], size) for image in readable(held_out, VALIDATION_PIXELS)]
    different = {each.numpy().tobytes(): each for each in pixels}
    if not different:
        return None
    network.eval()
    rows = [np.asarray(network.embed(each), np.float32) for each in different.values()]
    return measured_threshold(np.concatenate(rows))


def _export(
    training: Training, options: TrainOptions, path: Path, threshold: float | None, held_out: int
) -> None:
    metadata = {
        "name": options.name,
        "preprocessing": {
            "name": f"square-{options.inference_size}",
            "size": options.inference_size,
            "square": True,
            "resample": "bilinear",
        },
        "training": _recipe(options),
        **_teacher_metadata(options.teacher),
        "images": training.order.count,
        "epochs": training.epoch,
        "tool": f"sscd {VERSION}",
        "commit": _commit(),
    }
    if threshold is not None:
        source = f"no two of {held_out} held-out images reach it"
        metadata["threshold"] = {"value": threshold, "source": source}
    with writing(path):
        save_network(path, training.network, metadata)


def _teacher_metadata(name: str | None) -> dict[str, Any]:
    if name is None:
        return {}

    spec = find_model(name)
    return {"teacher": {"name": spec.name, "sha256": spec.weights_sha256}}


def _commit() -> str | None:
    """Return the last commit of the code that runs, None where it has no history beside it."""
    command = ["git", "-C", str(Path(__file__).parent), "log", "-1", "--format=%H", "--", "."]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() or None
