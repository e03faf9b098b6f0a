"""What may be embedded: one image or many, as files, bytes of files, Pillow images and arrays."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sscd_cli.errors import SscdError, reason_of
from sscd_cli.images.decode import load_sized
from sscd_cli.images.opening import open_picture, upright_rgb
from sscd_cli.images.preprocess import Recipe
from sscd_cli.images.resize import resize
from sscd_cli.machines.hardware import lacking

if TYPE_CHECKING:
    from torch import Tensor

Picture: TypeAlias = "Image.Image | NDArray[np.uint8] | Tensor | bytes | str | Path"
Numbered: TypeAlias = "tuple[int, Picture]"


class Descriptors(np.ndarray[Any, np.dtype[np.float32]]):
    """Rows that know which network made them; what is computed from them may forget it.

    made_by: the model's name and weights; "" is unknown.
    """

    made_by: str

    def __array_finalize__(self, other: Any) -> None:
        self.made_by = getattr(other, "made_by", "")


def is_one(images: Any) -> TypeGuard[Picture]:
    """Whether this is an image, and not several; an array or tensor of four axes is several."""
    if isinstance(images, np.ndarray) or _is_tensor(images):
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
    if _is_tensor(image):
        image = _as_array(image)
    if isinstance(image, str | Path):
        return load_sized(str(image), recipe)
    if not isinstance(image, bytes | Image.Image | np.ndarray):
        raise TypeError(f"{type(image).__name__} is no path, Pillow image, array, tensor or bytes")
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


def _is_tensor(image: Any) -> TypeGuard[Tensor]:
    torch = sys.modules.get("torch")  # who has a tensor has loaded it
    return torch is not None and isinstance(image, torch.Tensor)


def _as_array(image: Tensor) -> NDArray[np.uint8]:
    """Return a tensor as torchvision has them, (3, H, W), (1, H, W) or (H, W), as an array.

    Raises: TypeError: neither uint8, nor real numbers in [0, 1]; or of another shape.
    """
    if image.ndim == 2:
        image = image[None]
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise TypeError(f"a tensor of shape {tuple(image.shape)}: pass (3, H, W) or (1, H, W)")
    if image.is_floating_point():
        if image.numel() and not (image.min() >= 0 and image.max() <= 1):
            raise TypeError("a tensor of real numbers outside [0, 1]: pass it before normalisation")
        image = (image.detach().float() * 255).round().byte()
    array: NDArray[Any] = image.permute(1, 2, 0).cpu().numpy()
    if array.dtype != np.uint8:
        raise TypeError(f"a tensor of {array.dtype}: pass uint8, or real numbers in [0, 1]")
    return array[..., 0] if array.shape[2] == 1 else array
