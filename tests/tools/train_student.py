"""Train the bundled network on a teacher's codes: the run that made its weights.

    python tests/tools/train_student.py --data TRAIN --teacher sscd.onnx --work WORK \
        --start sscd_cli/models/sscd_mini.safetensors --hours 6 --sizes 112@0,144@0.6

`imagenet_start.py` makes a file for --start of weights that know ImageNet. TRAIN holds tar files of
images; the last `--often` of them are drawn twice as often. Every view is drawn to the teacher's
code of the whole picture: cross entropy over the codes of all pictures at a temperature of 0.05,
plus 1 - cosine to the own code, plus half an InfoNCE between two views of a picture. The teacher
runs once for each picture. Time, not steps, drives the cosine decay, so that a busy machine ends as
planned. The first layers, which are slow to train, stay as they are. WORK keeps pictures, codes and
the state; the same command goes on from there. WORK/student.safetensors: float16, 512-d.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batch_views import ViewMaker
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from sscd_cli.images.decode import decode
from sscd_cli.images.preprocess import RECIPES, recipe_of
from sscd_cli.images.read import Unreadable
from sscd_cli.images.refs import ImageRef
from sscd_cli.images.sources import iter_images
from sscd_cli.models.files.safetensors_file import save_network
from sscd_cli.models.files.weights import inspect_weights, read_network
from sscd_cli.models.load import load_model
from sscd_cli.models.network import Network
from sscd_cli.training.teacher import teacher_codes

SEEN, TEMPERATURE, BATCH = "skew-224", 0.05, 96
WARM_UP, SAVE_SECONDS, NEVER = 60, 240, -1e4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=6.0)
    parser.add_argument("--sizes", default="112@0,144@0.75", help="pixels @ share of the time")
    parser.add_argument("--rate", type=float, default=6e-4)
    parser.add_argument("--often", type=int, default=0, help="how many last pictures to draw twice")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    refs = list(iter_images(sorted(map(str, options.data.glob("*.tar")))))
    keep_pictures(refs, options.work)
    teacher_codes(load_model(str(options.teacher), device="cpu", recipe=SEEN), refs, options.work)
    run(options)


def keep_pictures(refs: Sequence[ImageRef], work: Path) -> None:
    """Decode every picture once, squashed to a square, beside its aspect."""
    if (work / "aspect.npy").exists():
        return
    rows, aspects = [], []
    for ref in refs:
        image = decode(ref, recipe_of(SEEN))
        if isinstance(image, Unreadable):
            raise SystemExit(f"cannot read {ref.id}: {image.error}")
        rows.append(image.pixels)
        aspects.append(image.width / image.height)
    np.save(work / "pictures.npy", np.stack(rows))
    np.save(work / "aspect.npy", np.array(aspects, np.float32))


class Batches(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Item: views of `BATCH` pictures, twice, which pictures they are, and what is behind them."""

    def __init__(self, work: Path, size: int, first: int, often: int) -> None:
        self.work, self.size, self.first, self.often = work, size, first, often
        self.make: ViewMaker | None = None

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor, Tensor]:
        if self.make is None:
            torch.set_num_threads(1)
            self.pictures = np.load(self.work / "pictures.npy", mmap_mode="r")
            self.aspect = np.load(self.work / "aspect.npy")
            share = np.ones(len(self.aspect))
            share[len(share) - self.often :] = 2
            self.share = share / share.sum()
            self.make = ViewMaker(self.size)
        rng = np.random.default_rng((7, self.first + item))
        once = rng.choice(len(self.aspect), BATCH, replace=False, p=self.share)
        which = np.concatenate([once, once])
        views, behind = self.make(self.pictures[which], self.aspect[which], rng)
        return views, torch.from_numpy(which), behind


def loss_of(
    views_2BD: Tensor, codes_DN: Tensor, which: Tensor, behind: Tensor
) -> tuple[Tensor, list[float]]:
    """Return the loss and its parts; a picture that shines behind a view is no negative of it."""
    logits = (views_2BD.bfloat16() @ codes_DN).float() / TEMPERATURE
    mixed = torch.nonzero(behind >= 0)[:, 0]
    own = logits[torch.arange(len(which)), which].mean() * TEMPERATURE
    logits[mixed, which[behind[mixed]]] = NEVER
    code = F.cross_entropy(logits, which)
    first, second = views_2BD.chunk(2)
    count = len(first)
    pairs, same = first @ second.T / TEMPERATURE, torch.arange(count)
    never = torch.zeros(count, count, dtype=torch.bool)
    for half, rows in enumerate(behind.chunk(2)):
        known = torch.nonzero(rows >= 0)[:, 0]
        there = rows[known] % count
        never[(known, there) if half == 0 else (there, known)] = True
    never[same, same] = False
    pairs = pairs.masked_fill(never, NEVER)
    contrast = (F.cross_entropy(pairs, same) + F.cross_entropy(pairs.T, same)) / 2
    total = code + 1 - own + 0.5 * contrast
    return total, [value.item() for value in (total, code, contrast, own)]


def start(path: Path) -> Network:
    network = read_network(inspect_weights(path))
    for part in (network.conv1, network.bn1, network.layer1):
        part.requires_grad_(False)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def optimiser_of(network: Network, rate: float) -> torch.optim.AdamW:
    head = list(network.fc.parameters())
    trunk = [p for name, p in network.named_parameters() if not name.startswith("fc")]
    groups = [{"params": trunk, "share": 1.0}, {"params": head, "share": 2.0}]
    return torch.optim.AdamW(groups, lr=rate, weight_decay=0.02)


def save(work: Path, network: Network, optimiser: torch.optim.Optimizer, **counts: Any) -> None:
    parts = {"network": network.state_dict(), "optimiser": optimiser.state_dict()}
    torch.save(parts | counts, work / "state.part")
    (work / "state.part").replace(work / "state.pt")
    metadata = {"name": "student", "preprocessing": asdict(RECIPES["mini-160"])}
    save_network(work / "student.safetensors", network, metadata, torch.float16)


def run(options: argparse.Namespace) -> None:
    network, step, spent = start(options.start), 0, 0.0
    optimiser = optimiser_of(network, options.rate)
    if (options.work / "state.pt").exists():
        state = torch.load(options.work / "state.pt", weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]
    codes_ND = torch.from_numpy(np.load(options.work / "codes.npy").astype(np.float32))
    codes_DN = F.normalize(codes_ND, dim=1).bfloat16().T.contiguous()
    phases = [tuple(map(float, word.split("@"))) for word in options.sizes.split(",")]
    network.train()
    for part in (network.conv1, network.bn1, network.layer1):
        part.eval()
    size, began, saved, total = 0, time.monotonic() - spent, spent, options.hours * 3600
    while (spent := time.monotonic() - began) < total:
        wanted = int(max(phase for phase in phases if phase[1] * total <= spent)[0])
        if wanted != size:
            size = wanted
            batches = Batches(options.work, size, step, options.often)
            loader = iter(DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=4))
        decay = 0.5 * (1 + math.cos(math.pi * spent / total))
        for group in optimiser.param_groups:
            group["lr"] = options.rate * group["share"] * min(1, (step + 1) / WARM_UP) * decay
        views, which, behind = next(loader)
        with torch.autocast("cpu", torch.bfloat16):
            out = network(views.contiguous(memory_format=torch.channels_last))
        loss, parts = loss_of(out.float(), codes_DN, which, behind)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        step += 1
        if step % 20 == 0:
            shown = " ".join(f"{value:.3f}" for value in parts)
            print(
                f"{spent / 3600:.3f} h, step {step}, {size} px: loss, code, pairs, cosine {shown}"
            )
        if spent - saved > SAVE_SECONDS:
            save(options.work, network, optimiser, step=step, spent=spent)
            saved = spent
    save(options.work, network, optimiser, step=step, spent=spent)


if __name__ == "__main__":
    main()
