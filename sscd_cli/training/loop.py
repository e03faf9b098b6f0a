"""The training loop: epochs of steps, with checkpoints that a killed run goes on from."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sscd_cli.edits.augmentations import AUGMENTATIONS
from sscd_cli.errors import SscdError
from sscd_cli.images.refs import ImageRef
from sscd_cli.models.network import Network
from sscd_cli.storage.files import whole_file
from sscd_cli.training.distributed import World, core_share, gather
from sscd_cli.training.log import StepLog, Validated, append_step, writing
from sscd_cli.training.loss import LossParts, sscd_loss
from sscd_cli.training.mixing import MIXERS
from sscd_cli.training.optimise import learning_rate, make_optimiser
from sscd_cli.training.teacher import Teacher
from sscd_cli.training.views import EpochOrder, Views, drawn_batches, view_batches

LOG_EVERY = 10
CHECKPOINT = "checkpoint.pt"
LOG = "log.csv"

Validate = Callable[[Network], Validated]
StepProgress = Callable[[StepLog], None]


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """What decides a training run besides its images; each is an option of `sscd train`."""

    augmentations: str
    size: int
    epochs: int
    batch_size: int
    temperature: float
    entropy_weight: float
    contrastive_weight: float
    optimizer: str
    learning_rate: float
    momentum: float
    weight_decay: float
    warmup_epochs: float
    validate_every: int
    workers: int | None
    seed: int


class Training:
    """A network on its way: everything that a checkpoint holds, and the step that moves it.

    Besides, every random draw depends on the seed, the rank, the epoch or the step and the image
    alone, so that a resumed run ends as an undisturbed one would. `unreadable` collects the
    indices of the images which this process could not show.
    """

    def __init__(
        self,
        network: Network,
        refs: Sequence[ImageRef],
        settings: Hyperparameters,
        *,
        device: torch.device,
        autocast: bool,
        world: World,
        teacher: Teacher | None = None,
    ) -> None:
        self.teacher = teacher
        self.settings, self.device, self.autocast, self.world = settings, device, autocast, world
        self.refs = refs
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = _distributed(self.network, world, device)
        views = Views(refs, AUGMENTATIONS[settings.augmentations](settings.size), settings.seed)
        self.order = EpochOrder(len(refs), settings.seed, world.rank, world.size)
        self.batch = settings.batch_size // world.size
        self.loader = view_batches(
            views,
            self.order,
            batch_size=self.batch,
            workers=core_share(world) if settings.workers is None else settings.workers,
            pin_memory=device.type == "cuda",
        )
        self.steps_per_epoch = len(self.loader)
        if self.steps_per_epoch == 0:
            raise SscdError(
                f"{len(refs)} training images do not fill a batch of {settings.batch_size}",
                "use a smaller --batch-size or more images",
            )
        self.optimiser = make_optimiser(
            self.model,
            settings.optimizer,
            self.peak_rate,
            settings.momentum,
            settings.weight_decay,
        )
        self.epoch = 0
        self.step = 0
        self.unreadable: set[int] = set()

    @property
    def peak_rate(self) -> float:
        """The learning rate after the warm-up: the base rate is for a batch of 256."""
        return self.settings.learning_rate * self.settings.batch_size / 256

    @property
    def total_steps(self) -> int:
        return self.settings.epochs * self.steps_per_epoch

    def run_epoch(self, report: Callable[[LossParts, float], None]) -> None:
        """Train one epoch; `report` gets the loss and the learning rate of every step."""
        self.model.train()
        self.order.epoch = self.epoch
        shown = self.order.batches(self.batch)
        with closing(drawn_batches(self.loader)) as batches:
            for (pixels, unreadable), images in zip(batches, shown, strict=True):
                self.unreadable.update(unreadable)
                rate = self._set_rate()
                parts = self._forward(pixels.to(self.device, non_blocking=True), images)
                self.optimiser.zero_grad(set_to_none=True)
                parts.total.backward()  # type: ignore[no-untyped-call]
                self.optimiser.step()
                self.step += 1
                report(parts, rate)
        self.epoch += 1

    def _set_rate(self) -> float:
        rate = learning_rate(
            self.step,
            peak=self.peak_rate,
            warmup=round(self.settings.warmup_epochs * self.steps_per_epoch),
            total=self.total_steps,
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        return rate

    def _forward(self, pixels_N3HW: Tensor, shown_B: NDArray[np.int64]) -> LossParts:
        mixer = MIXERS.get(self.settings.augmentations)
        images = len(pixels_N3HW) // 2
        if mixer:
            rng = np.random.default_rng((self.settings.seed, self.world.rank, self.step))
            pixels_N3HW, content = mixer(pixels_N3HW, images, rng)
        else:
            content = torch.eye(images, device=self.device).repeat(2, 1)
        pixels_N3HW = pixels_N3HW.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            views_ND = self.model(pixels_N3HW)
        match_NN = content @ content.T > 0
        match_NM, identity_NM = _among_all_ranks(match_NN, self.world)
        parts = sscd_loss(
            views_ND,
            gather(views_ND, self.world),
            match_NM,
            identity_NM,
            temperature=self.settings.temperature,
            entropy_weight=self.settings.entropy_weight,
            mean_over_positives=mixer is not None,
        )
        return self._with_teacher(parts, views_ND, content, shown_B) if self.teacher else parts

    def _with_teacher(
        self, parts: LossParts, views_ND: Tensor, content_NB: Tensor, shown_B: NDArray[np.int64]
    ) -> LossParts:
        """Add what the teacher says of the images; those that others stand for have no say."""
        assert self.teacher
        sound_B = torch.tensor([index not in self.unreadable for index in shown_B])
        content_NB = content_NB * sound_B.to(content_NB)
        code, distance = self.teacher.loss(views_ND, content_NB, shown_B, self.step)
        total = code + distance + self.settings.contrastive_weight * parts.total
        return replace(parts, total=total, code=code.detach(), cosine=1 - distance.detach())

    def save(self, path: Path) -> None:
        """Write a checkpoint, completely or not at all; it passes through memory."""
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "images": self.order.count,
        }
        # on a full disk torch's own writer leaves its file behind, or ends the process
        memory = io.BytesIO()
        with writing(path):
            torch.save(state, memory)
            with whole_file(path) as file:
                file.write(memory.getbuffer())

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint. Raises SscdError: it is damaged, or belongs to another run."""
        try:
            state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as error:
            raise SscdError(
                f"cannot read the checkpoint {path}", "delete it and train again without --resume"
            ) from error
        try:
            if state["images"] != self.order.count:
                raise ValueError(f"{state['images']} images then, {self.order.count} now")
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise SscdError(
                f"the checkpoint {path} belongs to another run ({str(error).splitlines()[0]})",
                "repeat that run's options, or name another --output",
            ) from error
        self.epoch, self.step = state["epoch"], state["step"]


def _distributed(network: Network, world: World, device: torch.device) -> nn.Module:
    """Average gradients over the ranks; on GPUs, normalise with the statistics of all their views.

    On CPUs, which `nn.SyncBatchNorm` does not know, each rank normalises with its own.
    """
    if world.size == 1:
        return network
    if device.type != "cuda":
        return DistributedDataParallel(network)
    module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    return DistributedDataParallel(module, device_ids=[device.index])


def _among_all_ranks(match_NN: Tensor, world: World) -> tuple[Tensor, Tensor]:
    """Place this rank's matches among the views of every rank, which are all negatives."""
    rows = len(match_NN)
    start = world.rank * rows
    match = torch.zeros(rows, rows * world.size, dtype=torch.bool, device=match_NN.device)
    identity = torch.zeros_like(match)
    match[:, start : start + rows] = match_NN
    identity[:, start : start + rows] = torch.eye(rows, dtype=torch.bool, device=match.device)
    return match, identity


def train(
    training: Training, folder: Path, validate: Validate | None, progress: StepProgress
) -> None:
    """Run the epochs that are left; after each, write the checkpoint and the log in `folder`.

    Raises: SscdError: the loss is no longer a number; the last checkpoint is from before.
    """
    settings = training.settings
    clock = _Clock(training)

    def report(parts: LossParts, rate: float) -> None:
        last_of_epoch = training.step % training.steps_per_epoch == 0
        if training.world.is_first and (training.step % LOG_EVERY == 0 or last_of_epoch):
            last = clock.step_log(parts, rate)
            append_step(folder / LOG, last)
            progress(last)
            if not math.isfinite(last.loss):
                raise SscdError(
                    f"the loss is {last.loss} at step {last.step}", "use a lower --learning-rate"
                )

    while training.epoch < settings.epochs:
        training.run_epoch(report)
        if not training.world.is_first:
            continue
        training.save(folder / CHECKPOINT)
        due = training.epoch % settings.validate_every == 0 or training.epoch == settings.epochs
        if validate and due:
            measured = clock.validation_log(validate(training.network))
            append_step(folder / LOG, measured)
            progress(measured)


class _Clock:
    """Speed and time left, and the last losses, for the log."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.started, self.first_step = time.monotonic(), training.step
        self.marked, self.marked_step = self.started, training.step
        self.last: dict[str, Any] = {}

    def step_log(self, parts: LossParts, rate: float) -> StepLog:
        now, step, total = time.monotonic(), self.training.step, self.training.total_steps
        speed = (step - self.marked_step) * self.training.settings.batch_size / (now - self.marked)
        per_step = (now - self.started) / (step - self.first_step)
        self.marked, self.marked_step = now, step
        self.last = {
            "epoch": self.training.epoch,
            "step": step,
            "steps": total,
            "learning_rate": rate,
            "loss": parts.total.item(),
            "infonce": parts.infonce.item(),
            "entropy": parts.entropy.item(),
            "positive": parts.positive.item(),
            "nearest_negative": parts.nearest_negative.item(),
            "images_per_second": speed,
            "seconds_left": per_step * (total - step),
            "code": None if parts.code is None else parts.code.item(),
            "cosine": None if parts.cosine is None else parts.cosine.item(),
        }
        return StepLog(**self.last)

    def validation_log(self, measured: Validated) -> StepLog:
        now = {"epoch": self.training.epoch, "step": self.training.step}
        self.marked, self.marked_step = time.monotonic(), self.training.step
        return StepLog(**{**self.last, **now, **asdict(measured)})
