"""How the published README embeds, the baseline of bench_network and bench_embed.

One image at a time: open with Pillow, Resize, ToTensor, Normalize (torchvision's operations,
written out), and a traced float32 ResNet-50 with seeded weights. It runs in a process of its own,
for ours changes how memory is allocated, which would speed up the baseline, too.
"""

from __future__ import annotations

import multiprocessing
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sscd_cli.images.preprocess import IMAGENET_MEAN, IMAGENET_STD
from sscd_cli.models.network import Network

SIZE = 320


@contextmanager
def snippet_process() -> Iterator[Executor]:
    """Yield what runs the functions below apart from this process; the network is traced once."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        process.submit(network_seconds, 2).result()
        yield process


def seeded_resnet() -> Network:
    torch.manual_seed(0)
    return Network("resnet50", 512).eval()


def whole_seconds(files: list[Path]) -> float:
    """Return how long the snippet takes for some files."""
    traced, start = _traced(), time.perf_counter()
    for file in files:
        with torch.inference_mode():
            traced(_pixels(file))
    return time.perf_counter() - start


def network_seconds(images: int) -> float:
    """Return how long the snippet's network takes, one prepared image after the other."""
    traced, one = _traced(), torch.rand(1, 3, SIZE, SIZE)
    start = time.perf_counter()
    for _ in range(images):
        with torch.inference_mode():
            traced(one)
    return time.perf_counter() - start


def _pixels(file: Path) -> torch.Tensor:
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
    image = Image.open(file).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    scaled = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
    return scaled.sub_(mean).div_(std)[None]


@cache
def _traced() -> Any:
    network = seeded_resnet()
    network._normalised = lambda pixels: pixels  # type: ignore[method-assign]
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(network, torch.zeros(1, 3, SIZE, SIZE))
