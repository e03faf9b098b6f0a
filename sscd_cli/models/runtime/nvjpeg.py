"""JPEG files decoded by a GPU: nvJPEG, through torchvision, which is loaded nowhere else.

Never run on a GPU: tested on the CPU, where torchvision has the same call, and Pillow stands in.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator
from functools import cache

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from sscd_cli.images.compressed import Compressed
from sscd_cli.images.opening import TURNED_SIDEWAYS
from sscd_cli.images.preprocess import Recipe

MOST_PIXELS = 1 << 28  # decoded at once: 0.8 GB
# by EXIF's orientation, the axes that are turned round, after rows became columns where they do
_AROUND = {2: (2,), 3: (1, 2), 4: (1,), 6: (2,), 7: (1, 2), 8: (1,)}


@cache
def works(device: str) -> bool:
    """Whether JPEGs can be decoded on a device; where they cannot, a warning says why."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "white").save(buffer, "JPEG")
    file = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)
    try:
        _decode([file], device)
    except (ImportError, RuntimeError) as error:  # the latter where it is of another build
        reason = str(error).partition("\n")[0]
        warnings.warn(f"JPEGs are not decoded on {device}: {reason}", RuntimeWarning, stacklevel=2)
        return False
    return True


def pictures(jpegs: Iterable[Compressed], recipe: Recipe, device: str) -> Iterator[Tensor | None]:
    """Yield what the network sees of each file, upright, uint8 (3, h, w), on the device.

    None stands for what the device refuses. Resized from all pixels, antialiased, as an exact
    recipe does but for the rounding. Args: jpegs: their data are tensors, uint8 (bytes,).
    """
    for part in _parts(jpegs):
        for jpeg, pixels in zip(part, _decoded([one.data for one in part], device), strict=True):
            yield None if pixels is None else _sized(pixels, jpeg, recipe)


def _parts(jpegs: Iterable[Compressed]) -> Iterator[list[Compressed]]:
    """Yield lists of at most `MOST_PIXELS`, or of one file."""
    part: list[Compressed] = []
    total = 0
    for jpeg in jpegs:
        pixels = jpeg.decoded.width * jpeg.decoded.height
        if part and total + pixels > MOST_PIXELS:
            yield part
            part, total = [], 0
        part.append(jpeg)
        total += pixels
    if part:
        yield part


def _decoded(files: list[Tensor], device: str) -> list[Tensor | None]:
    """Decode a list, or file by file what fails, or lacks memory, as a list."""
    try:
        return [*_decode(files, device)]
    except RuntimeError:
        if len(files) == 1:
            return [None]
        return [pixels for file in files for pixels in _decoded([file], device)]


def _decode(files: list[Tensor], device: str) -> list[Tensor]:
    from torchvision.io import ImageReadMode, decode_jpeg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its successor, which has no such call
        found: list[Tensor] = decode_jpeg(files, ImageReadMode.RGB, torch.device(device))
    return found


def _sized(pixels_3HW: Tensor, jpeg: Compressed, recipe: Recipe) -> Tensor | None:
    """Resize and turn upright; None where the device lacks the memory for it."""
    sideways = jpeg.orientation in TURNED_SIDEWAYS
    size = jpeg.size if sideways else jpeg.size[::-1]
    try:
        small = F.interpolate(pixels_3HW[None].float(), size, mode=recipe.resample, antialias=True)[
            0
        ]
    except RuntimeError:
        return None
    small = small.round_().clamp_(0, 255).to(torch.uint8)
    return (small.mT if sideways else small).flip(_AROUND.get(jpeg.orientation, ()))
