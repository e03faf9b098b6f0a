"""What may be embedded: one image or many, as files, bytes of files, Pillow images and arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sscd_cli.errors import SscdError, reason_of
from sscd_cli.images.decode import load_sized
from sscd_cli.images.opening import open_picture, upright_rgb
from sscd_cli.images.preprocess import Recipe, resize
from sscd_cli.machines.hardware import lacking

Picture = Image.Image | NDArray[np.uint8] | bytes | str | Path
Numbered = tuple[int, Picture]


class Descriptors(np.ndarray[Any, np.dtype[np.float32]]):
    """Rows that know which network made them; what is computed from them may forget it.

    made_by: the model's name and weights; "" is unknown.
    """

    made_by: str

    def __array_finalize__(self, other: Any) -> None:
        self.made_by = getattr(other, "made_by", "")


def is_one(images: Any) -> TypeGuard[Picture]:
    """Whether this is an image, and not several; an array of four axes is several."""
    if isinstance(images, np.ndarray):
        return images.ndim < 4
    return isinstance(images, Image.Image | bytes | str | Path)


def batches(images: Iterable[Picture], size: int) -> Iterator[list[Numbered]]:
    """Yield images with their numbers, some at a time, each drawn when its turn comes."""
    numbered = enumerate(images)
    while some := list(islice(numbered, size)):
        yield some


def sized(image: Picture, recipe: Recipe) -> NDArray[np.uint8]:
    """Return what a network sees of an image, uint8 (H, W, 3).

    Raises: SscdError: it cannot be read. TypeError: it is of no kind that is an image.
    """
    if isinstance(image, str | Path):
        return load_sized(str(image), recipe)
    if not isinstance(image, bytes | Image.Image | np.ndarray):
        raise TypeError(f"{type(image).__name__} is no path, Pillow image, array or bytes")
    try:
        if isinstance(image, bytes):
            return open_picture(image, exif=recipe.exif, recipe=recipe).sized(recipe)
        if isinstance(image, np.ndarray) and not image.size:
            raise ValueError("it is empty")
        return resize(upright_rgb(image, exif=recipe.exif), recipe)
    except Exception as error:
        if lacking(error) or isinstance(error, TypeError):
            raise
        what = f"cannot read a {type(image).__name__}: {reason_of(error)}"
        raise SscdError(what, "pass an image") from error
