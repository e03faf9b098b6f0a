"""Grey values of more than 8 bits, signed or real ones, brought to 0..255.

What the file says of its values counts; where it does not say enough, they are stretched from
their own least to their own greatest, so that 12 bits in a file of 16 are not taken for black.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
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
