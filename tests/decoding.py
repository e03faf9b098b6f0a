"""Image files of every kind, for the tests of decoding."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sscd_cli.images.decode import decode
from sscd_cli.images.opening import open_picture
from sscd_cli.images.preprocess import RECIPES
from sscd_cli.images.read import Limits, Unreadable
from sscd_cli.images.refs import ImageRef


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(width: int = 40, height: int = 30) -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, 255 - across], axis=-1).astype(np.uint8))


def open_image(data: bytes, **options: Any) -> Image.Image:
    """Return all pixels of `open_picture` as an RGB image that knows its `format`."""
    picture = open_picture(data, **options)
    picture.image.format = picture.format
    return picture.image


def pixels(data: bytes, **options: bool) -> np.ndarray:
    image = open_image(data, **options)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def ref_to(path: Path | str) -> ImageRef:
    return ImageRef("key", "", os.fspath(path))


def written(tmp_path: Path, data: bytes, name: str = "image.jpg") -> ImageRef:
    path = tmp_path / name
    path.write_bytes(data)
    return ref_to(path)


def unreadable(ref: ImageRef, **options: Limits) -> Unreadable:
    result = decode(ref, RECIPES["mini-160"], **options)
    assert isinstance(result, Unreadable)
    assert "\n" not in result.error
    return result
