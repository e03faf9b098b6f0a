"""From a decoded image of any mode to RGB: deep values scaled, transparency laid over a ground."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

Values = npt.NDArray[np.float64]

STRIP_PIXELS = 1 << 22
# tags of TIFF, and a value of one
BITS, PHOTOMETRIC, FORMAT, LEAST, GREATEST = 258, 262, 339, 340, 341
OLD_LEAST, OLD_GREATEST, NODATA = 280, 281, 42113
WHITE_IS_ZERO = 0
# the ranges that values are written in, by bits and a sign, and real ones
_WHOLE = [(0.0, 2.0**bits - 1) for bits in (8, 10, 12, 14, 15, 16, 31, 32)]
_SIGNED = [(-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) for bits in (8, 16)]
_SIGNED_BYTES = [(0.0, 127.0)]
_REAL = [(0.0, 1.0), (0.0, 255.0)]
# of numbers that Pillow takes for others, by mode, bits and SampleFormat
_TYPES: dict[tuple[str, float | None, float | None], str] = {
    ("I", 32, 1): "u4",
    ("L", 8, 2): "i1",
}
_OUTLIERS = 0.001  # of the values at either end, if they are far from all others
_FAR = 4  # times the range of the others; and values that use less than a fourth are stretched
_NO_VALUE = 1e30  # and above: -3.4e38 stands for "nothing here"
_SAMPLE = 1 << 20


@dataclass(frozen=True)
class Samples:
    """What a file says of its values.

    type: of the numbers where Pillow takes them for others. low, high: the range that they are
    written in. inverted: the lowest is white. nodata: stands for no value.
    """

    type: str | None = None
    low: float | None = None
    high: float | None = None
    inverted: bool = False
    nodata: float | None = None

    @classmethod
    def of(cls, image: Image.Image) -> Samples:
        """Read what a TIFF file says; of other files Pillow makes the most itself."""
        if not isinstance(image, TiffImageFile):
            return cls()
        tags = image.tag_v2
        bits, format = _first(tags.get(BITS)), _first(tags.get(FORMAT, 1))
        low, high = (
            next((value for tag in pair if (value := _first(tags.get(tag))) is not None), None)
            for pair in ((LEAST, OLD_LEAST), (GREATEST, OLD_GREATEST))
        )
        if low is None and bits == 12:
            low, high = 0, 4095
        return cls(
            type=_TYPES.get((image.mode, bits, format)),
            low=low if high is not None else None,
            high=high if low is not None else None,
            inverted=tags.get(PHOTOMETRIC) == WHITE_IS_ZERO and bits not in (1, 2, 4, 8),
            nodata=_number(tags.get(NODATA)),
        )


def _first(value: object) -> float | None:
    if isinstance(value, tuple):
        value = value[0] if value else None
    return _number(value)


def _number(value: object) -> float | None:
    try:
        return float(value.strip("\0 ") if isinstance(value, str) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def is_deep(image: Image.Image) -> bool:
    """Whether Pillow would clip or misread the grey values of an image where it converts them."""
    return image.mode == "F" or image.mode.startswith("I") or Samples.of(image).type is not None


@dataclass(frozen=True)
class Levels:
    """How the values of one image become grey levels: `low` black, `high` white."""

    samples: Samples
    low: float
    high: float

    @classmethod
    def of(cls, image: Image.Image) -> Levels:
        """Look at all values of an image, a strip at a time."""
        samples = Samples.of(image)
        every = max(1, image.width * image.height // _SAMPLE)
        ends, some = [], []
        for strip in strips_of(image):
            values = _values(strip, samples)
            there = values[_there(values, samples)]
            if len(there):
                ends += [float(there.min()), float(there.max())]
                some.append(there[::every].copy())  # a view would keep all
        if not ends:
            return cls(samples, 0, 0)
        low, high = _without_outliers(min(ends), max(ends), np.concatenate(some))
        return cls(samples, *written_in(low, high, samples, real=image.mode == "F"))

    def grey(self, image: Image.Image) -> Image.Image:
        """Return an image, or a strip of it, in grey; what holds no value is black.

        "LA" where one of the values stands for transparency.
        """
        values = _values(image, self.samples)
        there = _there(values, self.samples)
        span = (self.high - self.low) or 1
        levels = np.clip((np.where(there, values, self.low) - self.low) * (255 / span), 0, 255)
        grey = np.rint(levels).astype(np.uint8)
        if self.samples.inverted:
            grey = np.where(there, 255 - grey, 0).astype(np.uint8)
        transparent = image.info.get("transparency")
        if not isinstance(transparent, int):
            return Image.fromarray(grey)
        alpha = np.where(values == transparent, 0, 255).astype(np.uint8)
        return Image.fromarray(np.dstack([grey, alpha]))


VALUE_NEED = 16  # bytes that `eight_bits` takes for each value, beside the values themselves


def eight_bits(values: npt.NDArray[Any], samples: Samples) -> npt.NDArray[np.uint8]:
    """Bring numbers of any type to 0..255, all bands by one rule; what holds no value is 0.

    Args: values: (H, W) or (H, W, C). Limits: memory for a copy as float32 and two masks.
    """
    there = _there(values, samples)
    some = values[there][:: max(1, values.size // _SAMPLE)].astype(np.float64)
    if not len(some):
        return np.zeros(values.shape, np.uint8)
    least, most = (float(pick(values, where=there, initial=some[0])) for pick in (np.min, np.max))
    real = values.dtype.kind == "f"
    low, high = written_in(*_without_outliers(least, most, some), samples, real=real)
    levels = np.where(there, values, low).astype(np.float32) - np.float32(low)
    levels *= np.float32(255 / ((high - low) or 1))
    grey = np.rint(levels.clip(0, 255, out=levels)).astype(np.uint8)
    return np.where(there, 255 - grey, 0).astype(np.uint8) if samples.inverted else grey


def strips_of(image: Image.Image, pixels: int = STRIP_PIXELS) -> Iterator[Image.Image]:
    """Yield an image in strips of rows from the top; one of fewer pixels as it is."""
    rows = max(1, pixels // image.width)
    if rows >= image.height:
        yield image
        return
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def _values(image: Image.Image, samples: Samples) -> Values:
    values = np.asarray(image)
    return (values.view(samples.type) if samples.type else values).astype(np.float64)


def _there(values: npt.NDArray[Any], samples: Samples) -> npt.NDArray[np.bool_]:
    there: npt.NDArray[np.bool_] = np.abs(values) < _NO_VALUE  # nor are those that are not numbers
    if samples.nodata is not None:
        there &= values != np.float64(samples.nodata)
    return there


def _without_outliers(low: float, high: float, some: Values) -> tuple[float, float]:
    """Leave out a few values that lie far from all others, as dead pixels do."""
    inner_low, inner_high = np.quantile(some, [_OUTLIERS, 1 - _OUTLIERS]).tolist()
    if high - low > _FAR * (inner_high - inner_low) > 0:
        return inner_low, inner_high
    return low, high


def written_in(low: float, high: float, samples: Samples, *, real: bool) -> tuple[float, float]:
    """Return the range that values are written in; their own where they use little of any."""
    if samples.low is not None and samples.high is not None:
        narrow = high - low < (samples.high - samples.low) / _FAR
        if samples.low <= low and high <= samples.high and not narrow:
            return samples.low, samples.high
    known = _SIGNED_BYTES if samples.type == "i1" else []
    for least, greatest in _REAL if real else [*known, *_WHOLE, *_SIGNED]:
        if least <= low and high <= greatest:
            narrow = 0 < high - low < (greatest - least) / _FAR
            return (low, high) if narrow else (least, greatest)
    return low, high


_BRIGHT = 65  # of 256: more than a fourth of the range is used
_DEEP_STRIP = 1 << 18  # pixels, each some 80 bytes on its way
_SWAPPED = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B" if sys.byteorder == "little" else ";16L"}

Deep = npt.NDArray[np.float32]


def has_deep_colours(image: Image.Image) -> bool:
    """Whether an open image, not yet loaded, has colours of 16 bits."""
    tiles = image.tile if isinstance(image, ImageFile) else []
    said = [tile.args if isinstance(tile.args, tuple) else (tile.args,) for tile in tiles]
    return image.mode in ("RGB", "RGBA", "RGBX") and any(
        ";16" in str(args[0]) or args[-1] == 65535 for args in said if args
    )


def is_dark(image: Image.Image) -> bool:
    """Whether a loaded image with deep colours uses little of their range."""
    return max(high for _, high in _extrema(image)[:3]) < _BRIGHT


def _extrema(image: Image.Image) -> list[tuple[int, int]]:
    return [(int(low), int(high)) for low, high in np.reshape(image.getextrema(), (-1, 2))]


def stretched(upper: Image.Image, again: ImageFile) -> Image.Image:
    """Return a dark image with all of its bits, brought to the range that they are written in.

    So 12 bits in a file of 16 do not become 16 grey levels, nor 8 of them black.
    Args: upper: loaded; it is overwritten. again: the same file, opened but not loaded.
    """
    weights = _read_lower(again, max(high for _, high in _extrema(upper)))
    ends = [(v.min((0, 1)), v.max((0, 1))) for v in _strips(upper, again, weights)]
    low, high = np.min(ends, axis=0)[0], np.max(ends, axis=0)[1]
    if weights[1] > 1:  # the most may have been rounded up
        high -= weights[1] / 2
    colours = written_in(float(low[:3].min()), float(high[:3].max()), Samples(), real=False)
    alpha = [written_in(0, float(most), Samples(), real=False) for most in high[3:]]
    black, white = np.array([colours] * 3 + alpha, np.float32).T
    top = 0
    for values in _strips(upper, again, weights):
        levels = np.rint(((values - black) * (255 / (white - black))).clip(0, 255))
        bands = levels.astype(np.uint8).transpose(2, 0, 1)
        strip = Image.merge(upper.mode, [Image.fromarray(band) for band in bands])
        upper.paste(strip, (0, top))
        top += strip.height
    return upper


def _read_lower(again: ImageFile, top: int) -> tuple[float, float]:
    """Load the lower 8 bits; return by what to multiply upper and lower ones to get all."""
    lower = []
    weights = 256.0, 1.0
    for tile in again.tile:
        first, *rest = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if rest and rest[-1] == 65535:  # PPM, whose decoder scales to a value that counts as white
            rest[-1] = (top + 1) * 257
            weights = 0.0, rest[-1] / 255
        else:
            ends = str(first)[-4:]
            first = str(first).replace(ends, _SWAPPED[ends])
        lower.append(tile._replace(args=(first, *rest) if rest else first))
    again.tile = lower
    again.load()
    return weights


def _strips(upper: Image.Image, lower: Image.Image, weights: tuple[float, float]) -> Iterator[Deep]:
    """Yield values of 16 bits, float32 (h, W, 3 or 4), from the top."""
    for one, other in zip(
        strips_of(upper, _DEEP_STRIP), strips_of(lower, _DEEP_STRIP), strict=True
    ):
        values: Deep = np.asarray(one, np.float32) * weights[0]
        yield values + np.asarray(other, np.float32) * weights[1]


Convert = Callable[[Image.Image], Image.Image]
Ground = Literal["white", "black"] | None

_FLAT = 12  # grey levels: the noise of a lossy file


def conversion(image: Image.Image) -> Convert:
    """Return what turns an image into RGB, or any strip of it, by what the whole holds.

    Transparent pixels lie over white; over black where nothing would be seen on white; and where
    nothing would be seen on that either, transparency is left out.
    """
    grey = Levels.of(image).grey if is_deep(image) else _as_it_is
    if not image.has_transparency_data:
        return lambda strip: _opaque(grey(strip))
    ground = _ground(image, grey)
    over = partial(_over, ground) if ground else _opaque
    return lambda strip: over(grey(strip))


def plain_rgb(image: Image.Image) -> Image.Image:
    """Return an image as RGB and nothing else: of metadata that it held nothing is left."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return bare(image)
    return shrunk_rgb(image, (1, 1))


def shrunk_rgb(image: Image.Image, boxes: tuple[int, int]) -> Image.Image:
    """Return an image as `plain_rgb` does, each box of pixels averaged to one.

    Made in strips, so that a large image takes little more than what it was decoded to.
    """
    across, down = boxes
    width, height = image.size
    convert = conversion(image)
    small = Image.new("RGB", (-(-width // across), -(-height // down)))
    rows = max(1, STRIP_PIXELS // (width * down)) * down
    for top in range(0, height, rows):
        whole = rows >= height
        strip = image if whole else image.crop((0, top, width, min(top + rows, height)))
        rgb = convert(strip)
        small.paste(rgb if boxes == (1, 1) else rgb.reduce(boxes), (0, top // down))
    return small


def bare(image: Image.Image) -> Image.Image:
    """Return the pixels of an RGB image in one that knows no more of the file."""
    plain = image._new(image.im)
    plain.info = {}
    return plain


def _as_it_is(image: Image.Image) -> Image.Image:
    return image


def _ground(image: Image.Image, grey: Convert) -> Ground:
    """Return on which ground anything is to be seen; white where nothing ever is."""
    for ground in ("white", "black", None):
        way = partial(_over, ground) if ground else _opaque
        if not _is_flat(way(grey(strip)) for strip in strips_of(image)):
            return ground
    return "white"


def _is_flat(strips: Iterable[Image.Image]) -> bool:
    """Whether RGB strips are all of one colour, but for a little noise."""
    bands = [strip.getextrema() for strip in strips]
    low = np.min(bands, axis=0)[:, 0]
    high = np.max(bands, axis=0)[:, 1]
    return bool((high - low <= _FLAT).all())


def _rgba(image: Image.Image) -> Image.Image:
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def _over(ground: Literal["white", "black"], image: Image.Image) -> Image.Image:
    rgba = _rgba(image)
    return Image.alpha_composite(Image.new("RGBA", image.size, ground), rgba).convert("RGB")


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    return (_rgba(image) if image.has_transparency_data else image).convert("RGB")
