"""From the bytes of a file to upright RGB pixels, whatever the file holds.

This is the one way: what comes out knows nothing more of the file, so that nothing can be turned
or converted twice.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from sscd_cli.choices import MAX_PIXELS
from sscd_cli.images.coding import Coding
from sscd_cli.images.colours import has_deep_colours, is_dark, plain_rgb, shrunk_rgb, stretched
from sscd_cli.images.formats import (
    is_pdf,
    is_raw,
    jxl_orientation,
    open_page,
    open_raw,
    refuse_jxl_bomb,
    refuse_missing,
    register,
    without_remarks,
)
from sscd_cli.images.guards import DECODING, need_of, quiet_codecs, refuse_bomb, too_many_pixels
from sscd_cli.images.preprocess import Box, Recipe, boxes_of, shrink_while_decoding
from sscd_cli.images.rare import open_rare
from sscd_cli.images.reasons import RefusedError
from sscd_cli.images.resize import Pixels, as_image, resize, size_of
from sscd_cli.images.signatures import JPEG, PNG, kind_of
from sscd_cli.images.tiff import open_tiff, refuse_scrambled
from sscd_cli.machines.hardware import lacking

# Pillow reads more, but some of it starts other programs (EPS) or needs them. TGA has no
# signature, so it comes last.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM"),
    *("HEIF", "JXL", "QOI", "ICO", "ICNS", "DDS", "SGI", "SUN", "PSD", "PCX", "TGA"),
)
_USUAL = {"JPEG": JPEG, "PNG": PNG}  # that `preinit` loads
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
# by which the last column, or the last row, of what is turned becomes the first
RIGHT_TO_LEFT, BOTTOM_TO_TOP = (2, 3, 6, 7), (3, 4, 7, 8)
# what else these formats hold are layers, sizes, a gain map or a second eye of the one picture
SEVERAL = frozenset({"GIF", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "JXL"})
_START_OF_SCAN = b"\xff\xda"
_MOST_SCANS = 200  # encoders write about ten
LARGE = 1 << 24  # pixels: a larger image is shrunk as it becomes RGB, where the recipe may


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as RGB, upright, with no metadata left.

    upright: a Pillow image, or an array where the decoder made one. size: width and height that it
    has at full resolution; it may be decoded at less, and `shown` is where it lies in that then: a
    picture of 1,001 pixels at a half fills 500½ of 501. format: Pillow's name for the file's.
    frames: pictures in the file, known of its first. coding: of a JPEG file that is upright as it
    is and is decoded for no network. taken: when, as
    `load_picture` adds.
    """

    upright: Pixels
    size: tuple[int, int]
    format: str
    frames: int = 1
    coding: Coding | None = None
    shown: Box | None = None
    taken: datetime | None = None

    @cached_property
    def image(self) -> Image.Image:
        """All pixels as a Pillow image."""
        return as_image(self.upright)

    @property
    def is_whole(self) -> bool:
        """Whether every pixel of the file was decoded; a PDF has no pixels of its own."""
        return size_of(self.upright) == self.size and self.format != "PDF"

    def sized(self, recipe: Recipe) -> npt.NDArray[np.uint8]:
        """Return the pixels that a network sees, uint8 (H, W, 3)."""
        return resize(self.upright, recipe, self.size, self.shown)

    def pixels(self) -> npt.NDArray[np.uint8]:
        """Return all pixels, uint8 (H, W, 3)."""
        return np.asarray(self.upright)


def open_picture(
    data: bytes,
    *,
    exif: bool = True,
    max_pixels: int = MAX_PIXELS,
    recipe: Recipe | None = None,
    frame: int = 0,
) -> Picture:
    """Decode the bytes of an image file, at a lower resolution where `recipe` says so.

    Of an animation or a file of pages one `frame` counts, by default the first; how transparency
    and deep values are treated is in `colours`; colour profiles are left alone. With
    `exif` the image is turned upright (damaged EXIF data counts as none; Pillow itself always turns
    TIFF and HEIC files).

    Raises: Image.DecompressionBombError: above `max_pixels`. ValueError: empty. OSError: no image,
    or truncated. Pillow raises any other `Exception` for some damaged files.
    """
    if not data:
        raise RefusedError("the file is empty")
    kind = kind_of(data)
    with quiet_codecs(max_pixels):
        if kind == "JPEG XL":
            refuse_jxl_bomb(data, max_pixels)
        if kind in ("raw file", "TIFF") and is_raw(data):
            developed = open_raw(data, max_pixels, upright=exif)
            return Picture(developed, developed.size, "RAW")
        if not kind and is_pdf(data):
            page, pages = open_page(data, max_pixels, frame)
            return Picture(page, page.size, "PDF", pages)
        how = exif, max_pixels, recipe, frame
        try:
            return _opened(data, *how)
        except Exception as error:
            if lacking(error) or isinstance(error, Image.DecompressionBombError):
                raise
            if kind == "TIFF":
                image, orientation, frames = open_tiff(data, max_pixels, error, frame)
                turned = _turned(image, orientation if exif else 1)
                return Picture(turned, turned.size, "TIFF", frames)
            if kind == "JPEG":
                _refuse_many_scans(data)
            if kind in ("JPEG", "PNM", "PSD") and (rare := open_rare(data, max_pixels)):
                says = exif and rare.head
                orientation = orientation_of(identified(rare.head, max_pixels)) if says else 1
                turned = _turned(rare.image, orientation)
                return Picture(turned, turned.size, rare.format)
            plain = without_remarks(data) if kind == "PNG" else data
            if isinstance(error, RefusedError) or len(plain) == len(data):
                raise
            return _opened(plain, *how)


def _refuse_many_scans(data: bytes) -> None:
    """Raise RefusedError for a progressive JPEG file that takes minutes, as no camera writes."""
    if (scans := data.count(_START_OF_SCAN)) > _MOST_SCANS:
        raise RefusedError(f"JPEG of {scans} scans, more than the {_MOST_SCANS} that are read")


def _opened(data: bytes, exif: bool, max_pixels: int, recipe: Recipe | None, frame: int) -> Picture:
    image: Image.Image = _at(frame, data, max_pixels)
    full = image.size
    refuse_bomb(*full, max_pixels)
    if image.format == "TIFF":
        refuse_scrambled(image)
    if image.info.get("progressive"):
        _refuse_many_scans(data)
    fast = recipe if recipe is not None and recipe.decode == "fast" else None
    if fast is not None:
        shrink_while_decoding(image, fast)
    strips = fast if image.width * image.height > LARGE else None
    with DECODING.taken(need_of(image, full, in_strips=strips is not None), max_pixels):
        shrunk = image.size != full or strips is not None
        scale = round(max(full) / max(image.size))
        if (
            recipe is not None
            and not shrunk
            and (pixels := _plain_jpeg(image, data, exif)) is not None
        ):
            return Picture(pixels, full, "JPEG")
        deep = has_deep_colours(image)
        image.load()
        orientation = orientation_of(image, data) if exif else 1
        if deep and is_dark(image):
            image = stretched(image, _at(frame, data, max_pixels))
        boxes = (1, 1) if strips is None else boxes_of(image.size, strips.size_of(*image.size))
        if strips is None:
            rgb = plain_rgb(image)
        else:
            full = image.size if image.format == "TIFF" else full  # turned as it was loaded
            rgb = shrunk_rgb(image, boxes)
    filled = full[0] / scale / boxes[0], full[1] / scale / boxes[1]
    shown = _shown(rgb.size, filled, orientation) if shrunk else None
    upright, frames = _turned(rgb, orientation), 1 if frame else frames_of(image)
    if shrunk and orientation in TURNED_SIDEWAYS:
        full = full[::-1]
    size = full if shrunk else upright.size
    coding = Coding.of(image) if recipe is None and upright is rgb else None
    return Picture(upright, size, image.format or "", frames, coding, shown)


def _plain_jpeg(image: Image.Image, data: bytes, exif: bool) -> npt.NDArray[np.uint8] | None:
    """Return the pixels of an upright JPEG file in colour as an array, the same as Pillow's.

    None of any other file, and of one in which the decoder finds a fault: Pillow says what it is.
    """
    if (image.format, image.mode) != ("JPEG", "RGB") or (exif and orientation_of(image) in UPRIGHT):
        return None
    try:
        pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(data)
    except ValueError:
        return None
    return pixels


def upright_rgb(image: Image.Image | npt.NDArray[np.uint8], *, exif: bool = True) -> Image.Image:
    """Return a Pillow image of any mode, or an array, as `open_picture` makes one of its file.

    Args: image: arrays are uint8 (H, W, 3), or (H, W) for grey ones, and upright.
    """
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.load()
    return _turned(plain_rgb(image), orientation_of(image) if exif else 1)


def identified(data: bytes, max_pixels: int) -> ImageFile:
    """Let Pillow tell the format, without decoding.

    Raises: MissingFormatError: one that an extra would read. UnidentifiedImageError: none.
        Image.DecompressionBombError: above `max_pixels`.
    """
    try:
        return Image.open(io.BytesIO(data), formats=_formats_of(data))
    except UnidentifiedImageError:
        refuse_missing(data)
        raise
    except Image.DecompressionBombError:
        raise too_many_pixels(max_pixels) from None


def _at(frame: int, data: bytes, max_pixels: int) -> ImageFile:
    image = identified(data, max_pixels)
    if frame:
        image.seek(frame)
    return image


def _formats_of(data: bytes) -> list[str]:
    """Return the formats that a file may have; no other readers are loaded for the usual ones."""
    for format, signature in _USUAL.items():
        if data.startswith(signature):
            Image.preinit()
            return [format]
    return known_formats()


@lru_cache(maxsize=1)
def known_formats() -> list[str]:
    """Return the formats that are read here, with the extras that are installed."""
    register()
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _shown(size: tuple[int, int], filled: tuple[float, float], orientation: int) -> Box:
    """Return the part of an upright image that its picture fills.

    Before it was turned the image had this `size`, and the picture filled it from its top left.
    """
    width, height = filled
    right, below = size[0] - width, size[1] - height
    if orientation in TURNED_SIDEWAYS:
        width, height, right, below = height, width, below, right
    left = right if orientation in RIGHT_TO_LEFT else 0
    top = below if orientation in BOTTOM_TO_TOP else 0
    return left, top, left + width, top + height


def _turned(rgb: Image.Image, orientation: int) -> Image.Image:
    method = UPRIGHT.get(orientation)
    return rgb if method is None else rgb.transpose(method)


def orientation_of(image: Image.Image, data: bytes = b"") -> int:
    """Return how a loaded image still has to be turned, by EXIF's numbers."""
    if image.format == "JXL" and not getattr(image, "jpeg", True) and jxl_orientation(data) != 1:
        return 1  # its decoder has turned it, and what EXIF says of it does not count
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF data is no reason to lose the image
        return 1
    return orientation if isinstance(orientation, int) else 1


def frames_of(image: Image.Image) -> int:
    """Return the number of frames or pages of an open file; the image is of no use after that.

    Decodes none of them. A file that is damaged behind its first frame counts as two.
    """
    if image.format not in SEVERAL:
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # whatever a damaged frame raises, there is more than the first
        return 2


def some_frames(
    data: bytes, *, exif: bool = True, recipe: Recipe | None = None
) -> Iterator[Picture]:
    """Yield the first frame of a file, those at its quarters, and its last, each once.

    Limits: an animation is decoded from its beginning for each of them.
    Raises: as `open_picture`.
    """
    first = open_picture(data, exif=exif, recipe=recipe)
    yield first
    for number in sorted(set(quarters(first.frames)) - {0}):
        yield open_picture(data, exif=exif, recipe=recipe, frame=number)


def quarters(frames: int) -> list[int]:
    """Return the numbers of the first of some frames, those at the quarters, and the last."""
    return [(frames - 1) * quarter // 4 for quarter in range(5)]


def capture_time(data: bytes) -> datetime | None:
    """Return when the shutter opened, to the fraction that is told; None where it is not told.

    Reads EXIF's DateTimeOriginal, which editors keep, and SubSecTimeOriginal; decodes no pixels.
    """
    try:
        with quiet_codecs(MAX_PIXELS), Image.open(io.BytesIO(data)) as image:
            exif = image.getexif().get_ifd(ExifTags.IFD.Exif)
        taken = datetime.strptime(str(exif[ExifTags.Base.DateTimeOriginal]), "%Y:%m:%d %H:%M:%S")
        fraction = str(exif.get(ExifTags.Base.SubsecTimeOriginal, "0")).strip("\0 ")
        return taken + timedelta(seconds=float(f"0.{int(fraction or 0):0{len(fraction)}d}"))
    except Exception:  # whatever a file without it, or a damaged one, raises: it tells nothing
        return None
