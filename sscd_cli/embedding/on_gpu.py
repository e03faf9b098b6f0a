"""JPEG files that worker processes left compressed, decoded on the GPU that they work for."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from sscd_cli.embedding.stream import Batch, Decoder, Row
from sscd_cli.images.compressed import Compressed
from sscd_cli.images.decode import Decoded, content_of, decode_contents
from sscd_cli.images.preprocess import Recipe
from sscd_cli.models.load import Model
from sscd_cli.models.runtime import nvjpeg


def decodes_jpegs(model: Model, recipe: Recipe) -> bool:
    """Whether the GPU decodes what `images.compressed` leaves to it."""
    device = str(model.runtime.device)
    return recipe.decode == "fast" and model.runtime.lane is not None and nvjpeg.works(device)


def completed(batch: Batch, decoder: Decoder, model: Model) -> Batch:
    """Return a batch of which every image is decoded; what the GPU refuses, on this core."""
    if not batch.jpegs:
        return batch
    start = time.perf_counter()
    rows, device = list(batch.rows), str(model.runtime.device)
    members: defaultdict[torch.Size, list[int]] = defaultdict(list)
    pictures: dict[int, Tensor] = {}
    made = nvjpeg.pictures(batch.jpegs.values(), decoder.recipe, device)
    for (index, jpeg), there in zip(batch.jpegs.items(), made, strict=True):
        rows[index], here = (jpeg.row, None) if there is not None else _decoded(jpeg, decoder)
        picture = there if here is None else here.to(device)
        if picture is not None:
            pictures[index] = picture
            members[picture.shape].append(index)
    stacks = [(i, torch.stack([pictures[index] for index in i])) for i in members.values()]
    for indices, stack in stacks:
        for index, pixels in zip(indices, stack.permute(0, 2, 3, 1).cpu().numpy(), strict=True):
            row = rows[index]
            assert isinstance(row, Decoded)  # it has pixels
            rows[index] = replace(row, content=content_of(pixels))
    groups = [*batch.groups, *((np.array(i, np.int64), stack) for i, stack in stacks)]
    seconds = batch.decode_seconds + time.perf_counter() - start
    return Batch(rows, groups, batch.read_seconds, seconds)


def _decoded(jpeg: Compressed, decoder: Decoder) -> tuple[Row, Tensor | None]:
    """Return the row of a file that the GPU refused, and its pixels if it can be read."""
    row = decode_contents(jpeg.contents(), decoder.recipe, decoder.limits)
    if not isinstance(row, Decoded) or row.pixels is None:
        return row, None
    pixels = torch.from_numpy(row.pixels.copy()).permute(2, 0, 1)
    return replace(row, pixels=None), pixels
