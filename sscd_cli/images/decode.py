"""From the bytes of an image to its pixels, and to what is measured of it.

An image that cannot be decoded is a value with a reason (`Unreadable`), never an exception.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from blake3 import blake3
from PIL import Image

from sscd_cli.errors import SscdError
from sscd_cli.images.colours import strips_of
from sscd_cli.images.opening import Picture, capture_time, open_picture, quarters, some_frames
from sscd_cli.images.preprocess import Recipe
from sscd_cli.images.read import DEFAULT_LIMITS, Contents, Limits, Unreadable, read
from sscd_cli.images.reasons import MissingFormatError, reason_of_failure
from sscd_cli.images.refs import ImageRef
from sscd_cli.images.resize import Pixels, grey_cells, size_of
from sscd_cli.machines.hardware import lacking
from sscd_cli.storage.servers import without_file_scheme


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image that could be read.

    pixels: uint8 (H, W, 3), resized when a recipe was given; None once they have travelled on in
    a batch. width, height: of the upright original. format: Pillow's name for the file format.
    content_hash: BLAKE2b-128 of the file's bytes. frames: pictures in the file. content: how much
    there is to see, see `content_of`. pixel_hash: BLAKE3-128 of the width and upright RGB pixels;
    None where they were not all decoded, or where there are more frames.
    """

    ref: ImageRef
    pixels: npt.NDArray[np.uint8] | None
    width: int
    height: int
    format: str
    file_bytes: int
    mtime_ns: int
    content_hash: bytes
    frames: int = 1
    content: int | None = None
    pixel_hash: bytes | None = None


def decode(
    ref: ImageRef,
    recipe: Recipe | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Decoded | Unreadable:
    """Read and decode one image; any failure becomes an `Unreadable`.

    Args: recipe: resizes, and says whether EXIF orientation counts (it does without a recipe).
    """
    contents = read(ref, limits)
    if isinstance(contents, Unreadable):
        return contents
    return decode_contents(contents, recipe, limits)


def decode_contents(
    contents: Contents, recipe: Recipe | None, limits: Limits
) -> Decoded | Unreadable:
    """Decode what `read` returned; any failure of the file's becomes an `Unreadable`.

    Raises: what says that the machine lacks something (see `hardware.lacking`).
    """
    size, ref = len(contents.data), contents.ref
    try:
        exif = recipe is None or recipe.exif
        picture = open_picture(contents.data, exif=exif, max_pixels=limits.pixels, recipe=recipe)
        pixels = picture.pixels() if recipe is None else picture.sized(recipe)
    except Exception as error:
        if lacking(error):  # no fault of the file's
            raise
        # what another limit or an extra lets in is tried again
        later = isinstance(error, Image.DecompressionBombError | MissingFormatError)
        known = None if later else contents.content_hash
        reason = reason_of_failure(error, contents.data)
        return Unreadable(ref, reason, size, contents.mtime_ns, known)
    whole = picture.frames == 1 and picture.is_whole
    return Decoded(
        ref,
        pixels,
        *picture.size,
        picture.format,
        size,
        contents.mtime_ns,
        contents.content_hash,
        picture.frames,
        None if recipe is None else content_of(pixels),
        _pixel_hash(picture.upright) if whole else None,
    )


def _pixel_hash(image: Pixels) -> bytes:
    """Return 128 bits of BLAKE3 of an RGB image's width and pixels, without a copy of all."""
    digest = blake3(b"%d\0" % size_of(image)[0])
    if isinstance(image, np.ndarray):
        digest.update(image.data)
    else:
        for strip in strips_of(image):
            digest.update(strip.tobytes())
    return digest.digest(length=16)


def load_picture(ref: ImageRef, *, exif: bool = True, recipe: Recipe | None = None) -> Picture:
    """Read one image that cannot be done without.

    recipe: a fast one says how much smaller than it is the image may be decoded. Without one it
    is known of the picture, too, when it was taken, if its file says so.
    Raises: SscdError: it cannot be read.
    """
    contents = _contents(ref)
    with _named(contents):
        picture = open_picture(contents.data, exif=exif, recipe=recipe)
    return picture if recipe else replace(picture, taken=capture_time(contents.data))


def load_frames(path: str, *, exif: bool = True, recipe: Recipe | None = None) -> list[Picture]:
    """Read an image file of one picture, or five of the frames or pages of one that has several.

    Those are the first, the ones at the quarters, and the last; of few frames some come again.
    Raises: SscdError: it cannot be read.
    """
    contents = _contents(_ref(path))
    with _named(contents):
        shown = list(some_frames(contents.data, exif=exif, recipe=recipe))
    numbers = quarters(shown[0].frames)
    distinct = sorted(set(numbers))
    return shown if len(shown) == 1 else [shown[distinct.index(number)] for number in numbers]


def _contents(ref: ImageRef) -> Contents:
    contents = read(ref, DEFAULT_LIMITS)
    if isinstance(contents, Unreadable):
        raise SscdError(f"cannot read {ref.id}: {contents.error}", "name an image file")
    return contents


@contextmanager
def _named(contents: Contents) -> Iterator[None]:
    """Let a failure of decoding say which file it is, and why."""
    try:
        yield
    except Exception as error:
        if lacking(error):
            raise
        reason = reason_of_failure(error, contents.data)
        raise SscdError(f"cannot read {contents.ref.id}: {reason}", "name an image file") from error


def picture_if_any(ref: ImageRef, *, exif: bool) -> Picture | None:
    """Read one image as `load_picture` does; None where it cannot be read."""
    try:
        return load_picture(ref, exif=exif)
    except (SscdError, OSError, ValueError):
        return None


def load_image(ref: ImageRef, *, exif: bool = True) -> Image.Image:
    """Return the RGB image of `load_picture`, upright, without metadata."""
    return load_picture(ref, exif=exif).image


def load_sized(path: str, recipe: Recipe) -> npt.NDArray[np.uint8]:
    """Read one image file as `decode` does: what a network sees, uint8 (H, W, 3).

    Raises: SscdError: it cannot be read.
    """
    return load_picture(_ref(path), exif=recipe.exif, recipe=recipe).sized(recipe)


def _ref(path: str) -> ImageRef:
    return ImageRef(path, "", without_file_scheme(path))


# of 275 photographs and drawings the least has 325 (the moon in an evening sky, a line chart);
# one-colour pictures, rectangles, stripes, discs and gradients have 265 at most, also as JPEG
# files of quality 30, and blank scans with a grain of 6 grey levels 224
LOW_CONTENT = 290

_GRID = 32
_STEP = 3  # grey levels that count as one: the grain of a scan, the noise of a JPEG file


def content_of(pixels_HW3: npt.NDArray[np.uint8]) -> int:
    """Return the bytes that a picture's edges take, deflated; 20 for none.

    The picture is brought to 32 × 32 grey values. What a smooth slope predicts is left out, and
    what repeats is paid for once.
    Args: pixels_HW3: at the network's input size, both sides at least 32. Cost: 0.1 ms.
    """
    grey = grey_cells(pixels_HW3, _GRID)
    inner = grey[1:-1, 1:-1]
    edges = 4 * inner - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    steps = np.clip(np.rint(edges / _STEP), -127, 127).astype(np.int8)
    return len(zlib.compress(steps.tobytes(), 6))
