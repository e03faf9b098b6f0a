"""From the bytes of a file to upright RGB pixels, whatever the file holds.

An image that cannot be read is a value with a reason (`Unreadable`), never an exception.
"""

from __future__ import annotations

import hashlib
import io
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from sscd_cli.errors import SscdError, printable
from sscd_cli.images.content import content_of
from sscd_cli.images.formats import (
    MissingFormatError,
    is_raw,
    open_raw,
    refuse_bomb,
    refuse_jxl_bomb,
    refuse_missing,
    register,
)
from sscd_cli.images.frames import frames_of
from sscd_cli.images.preprocess import Recipe, resize, shrink_while_decoding
from sscd_cli.images.read import read_bytes, stat_image
from sscd_cli.images.refs import ImageRef
from sscd_cli.options import MAX_BYTES, MAX_PIXELS
from sscd_cli.storage.servers import without_file_scheme

# Pillow reads more, but some of it starts other programs (EPS) or needs them. TGA has no
# signature, so it comes last.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM"),
    *("HEIF", "JXL", "QOI", "ICO", "ICNS", "DDS", "SGI", "PSD", "PCX", "TGA"),
)
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
TURNED_SIDEWAYS = (5, 6, 7, 8)
REASON_CHARACTERS = 200

# what Pillow logs about a damaged file would reach stderr
logging.getLogger("PIL").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Limits:
    """Above these an image is unreadable: pixels of the original, bytes of the file."""

    pixels: int = MAX_PIXELS
    file_bytes: int = MAX_BYTES


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image that could be read.

    pixels: uint8 (H, W, 3), resized when a recipe was given; None once they have travelled on in
    a batch. width, height: of the upright original. format: Pillow's name for the file format.
    content_hash: BLAKE2b-128 of the file's bytes. frames: pictures in the file. content: how much
    there is to see, see `content`. pixel_hash: BLAKE2b-128 of the upright RGB pixels and their
    width; None where they were not all decoded, or where there are more frames.
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


@dataclass(frozen=True, slots=True)
class Copied:
    """A file whose very bytes are known already, so that it was not decoded."""

    ref: ImageRef
    file_bytes: int
    mtime_ns: int
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An image that could not be read, why (one line), and as much as is known of the file.

    content_hash: None, too, for an image above `Limits.pixels`, which a higher limit may let in.
    """

    ref: ImageRef
    error: str
    file_bytes: int | None
    mtime_ns: int | None
    content_hash: bytes | None


@dataclass(frozen=True, slots=True)
class Contents:
    """The bytes of a file and what identifies them; `content_hash` as in `Decoded`."""

    ref: ImageRef
    data: bytes
    mtime_ns: int
    content_hash: bytes

    def as_copied(self) -> Copied:
        """What stands for these bytes when they need not be decoded."""
        return Copied(self.ref, len(self.data), self.mtime_ns, self.content_hash)


Known = Callable[[bytes], bool]


def decode(
    ref: ImageRef,
    recipe: Recipe | None = None,
    limits: Limits = DEFAULT_LIMITS,
    *,
    known: Known | None = None,
) -> Decoded | Copied | Unreadable:
    """Read and decode one image; any failure becomes an `Unreadable`.

    Args: recipe: resizes, and says whether EXIF orientation counts (it does without a recipe).
    known: asked with the content hash whether decoding can be spared.
    """
    contents = read(ref, limits)
    if isinstance(contents, Unreadable):
        return contents
    if known is not None and known(contents.content_hash):
        return contents.as_copied()
    return decode_contents(contents, recipe, limits)


def read(ref: ImageRef, limits: Limits) -> Contents | Unreadable:
    """Read the bytes of `ref`; any failure becomes an `Unreadable`."""
    try:
        data, status = read_bytes(ref, limits.file_bytes)
    except Exception as error:
        return _missing(ref, error)
    return Contents(ref, data, status.mtime_ns, hash_bytes(data))


def decode_contents(
    contents: Contents, recipe: Recipe | None, limits: Limits
) -> Decoded | Unreadable:
    """Decode what `read` returned; any failure, of whatever type, becomes an `Unreadable`."""
    size, ref = len(contents.data), contents.ref
    try:
        exif = recipe is None or recipe.exif
        picture = _open(contents.data, exif, limits.pixels, recipe)
        pixels = (
            np.asarray(picture.image)
            if recipe is None
            else resize(picture.image, recipe, picture.size)
        )
    except (Image.DecompressionBombError, MissingFormatError) as error:
        return Unreadable(ref, _reason(error), size, contents.mtime_ns, None)
    except Exception as error:
        return Unreadable(ref, _reason(error), size, contents.mtime_ns, contents.content_hash)
    kind, frames = picture.image.format or "", frames_of(contents.data, picture.image.format or "")
    whole = frames == 1 and picture.image.size == picture.size
    return Decoded(
        ref,
        pixels,
        *picture.size,
        kind,
        size,
        contents.mtime_ns,
        contents.content_hash,
        frames,
        None if recipe is None else content_of(pixels),
        hash_bytes(b"%d\0" % picture.size[0] + picture.image.tobytes()) if whole else None,
    )


def hash_bytes(data: bytes) -> bytes:
    """Return the BLAKE2b-128 of `data`, 16 bytes."""
    return hashlib.blake2b(data, digest_size=16).digest()


def open_image(data: bytes, *, exif: bool = True, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode the bytes of an image file to RGB, its `format` being that of the file.

    The first frame of an animation counts; transparent pixels lie over white; 16-bit and float
    modes are scaled to 8 bits; colour profiles are left alone. With `exif` the image is turned
    upright (damaged EXIF data counts as none; Pillow itself always turns TIFF and HEIC files).

    Raises: Image.DecompressionBombError: above `max_pixels`. ValueError: empty. OSError: no image,
    or truncated. Pillow raises any other `Exception` for some damaged files.
    """
    return _open(data, exif, max_pixels, None).image


class _Picture(NamedTuple):
    """An upright RGB image and the width and height that it has at full resolution."""

    image: Image.Image
    size: tuple[int, int]


def _open(data: bytes, exif: bool, max_pixels: int, recipe: Recipe | None) -> _Picture:
    """As `open_image`, at a lower resolution where `recipe` says that this is enough."""
    if not data:
        raise ValueError("the file is empty")
    with _quiet_pillow(max_pixels):
        refuse_jxl_bomb(data, max_pixels)
        if is_raw(data):
            developed = open_raw(data, max_pixels, upright=exif)
            return _Picture(developed, developed.size)
        image = _identified(data)
        full = image.size
        refuse_bomb(*full, max_pixels)
        if recipe is not None and recipe.decode == "fast":
            shrink_while_decoding(image, recipe)
        shrunk = image.size != full
        image.load()
        upright = upright_rgb(image, exif=exif)
        upright.format = image.format
        if not shrunk:
            return _Picture(upright, upright.size)
        sideways = exif and _orientation(image) in TURNED_SIDEWAYS
        return _Picture(upright, full[::-1] if sideways else full)


def _identified(data: bytes) -> Image.Image:
    """Let Pillow tell the format. Raises: MissingFormatError: one that an extra would read."""
    try:
        return Image.open(io.BytesIO(data), formats=_formats())
    except UnidentifiedImageError:
        refuse_missing(data)
        raise


def upright_rgb(image: Image.Image, *, exif: bool = True) -> Image.Image:
    """Return a Pillow image of any mode as `open_image` returns the file it is from."""
    rgb = _to_rgb(image)
    method = UPRIGHT.get(_orientation(image)) if exif else None
    return rgb if method is None else rgb.transpose(method)


def load_image(ref: ImageRef, *, exif: bool = True, recipe: Recipe | None = None) -> Image.Image:
    """Read one image that cannot be done without.

    recipe: a fast one says how much smaller than it is the image may be decoded.
    Raises: SscdError: it cannot be read.
    """
    contents = read(ref, DEFAULT_LIMITS)
    try:
        if isinstance(contents, Unreadable):
            raise ValueError(contents.error)
        return _open(contents.data, exif, MAX_PIXELS, recipe).image
    except Exception as error:
        raise SscdError(f"cannot read {ref.id}: {_reason(error)}", "name an image file") from error


def load_file(path: str, *, exif: bool = True) -> Image.Image:
    """Read one image file that cannot be done without. Raises: SscdError: it cannot be read."""
    return load_image(ImageRef(path, "", without_file_scheme(path)), exif=exif)


@lru_cache(maxsize=1)
def _formats() -> list[str]:
    register()
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


@contextmanager
def _quiet_pillow(max_pixels: int) -> Iterator[None]:
    """Silence Pillow's warnings, and set its own guard for images inside images.

    Both are the process's: the first thread to come saves them, the last one to go restores them.
    """
    with _QUIET.lock:
        if not _QUIET.threads:
            _QUIET.guard = Image.MAX_IMAGE_PIXELS
            _QUIET.filters = warnings.catch_warnings()
            _QUIET.filters.__enter__()
            warnings.simplefilter("ignore")
        # Pillow refuses above twice this number
        Image.MAX_IMAGE_PIXELS = (max_pixels + 1) // 2
        _QUIET.threads += 1
    try:
        yield
    finally:
        with _QUIET.lock:
            _QUIET.threads -= 1
            if not _QUIET.threads:
                _QUIET.filters.__exit__(None, None, None)
                Image.MAX_IMAGE_PIXELS = _QUIET.guard


@dataclass
class _Quiet:
    """How many threads decode now, and what to restore after the last."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    threads: int = 0
    guard: int | None = None
    filters: warnings.catch_warnings[None] = field(default_factory=warnings.catch_warnings)


_QUIET = _Quiet()


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF data is no reason to lose the image
        return 1
    return orientation if isinstance(orientation, int) else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return _grey_to_rgb(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _grey_to_rgb(image: Image.Image) -> Image.Image:
    """Scale a grey image of 16-bit, 32-bit or float values to 8 bits a channel."""
    values = np.asarray(image)
    if values.dtype.itemsize == 2:
        grey = (values >> 8).astype(np.uint8)  # as Pillow does with 16-bit colours
    else:
        real = image.mode == "F"
        grey = _scaled(values.astype(np.float64), real=real).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey).convert("RGB")


def _scaled(values: npt.NDArray[np.float64], *, real: bool) -> npt.NDArray[np.float64]:
    """Bring grey values to 0..255.

    Real values within 0..1 are multiplied by 255, whole ones within 0..65535 are taken for 16
    bits unless they fit into 8; what lies outside 0..255 is stretched from least to greatest.
    Values that are not finite count as 0.
    """
    values = np.where(np.isfinite(values), values, 0)
    low, high = float(values.min()), float(values.max())
    if real and low >= 0 and high <= 1:
        values *= 255
    elif not real and low >= 0 and 255 < high <= 65535:
        values /= 257
    elif low < 0 or high > 255:
        values = (values - low) * (255 / ((high - low) or 1))
    return np.rint(values)


def _missing(ref: ImageRef, error: Exception) -> Unreadable:
    """The `Unreadable` of a file whose bytes could not be read."""
    try:
        status = stat_image(ref)
    except Exception:
        return Unreadable(ref, _reason(error), None, None, None)
    return Unreadable(ref, _reason(error), status.file_bytes, status.mtime_ns, None)


def _reason(error: Exception) -> str:
    """Say in one line, the same in every run, why an image could not be read."""
    if isinstance(error, UnidentifiedImageError):  # its text holds a memory address
        return "not an image in a known format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text, kind = str(error), type(error).__name__
    # such as "'x'" of a KeyError, which says nothing without its kind
    told = not isinstance(error, LookupError | TypeError | AttributeError | SyntaxError)
    reason = text if text and told else f"{kind}: {text}" if text else kind
    return printable(reason)[:REASON_CHARACTERS]
