"""Photoshop files that Pillow refuses: of 16 or 32 bits a value, and large ones (PSB).

Of the layers nothing is read, but the picture that they make. Source: Adobe Photoshop File Formats
Specification, 2019, "File Header Section" and "Image Data Section".
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image

from sscd_cli.images.colours import VALUE_NEED, Samples, eight_bits, plain_rgb
from sscd_cli.images.guards import DECODING, refuse_bomb
from sscd_cli.images.reasons import MissingFormatError, RefusedError

_HEADER = struct.Struct(">4sH6xHIIHH")  # signature, version, bands, height, width, bits, mode
_LARGE = 2  # the version of PSB
_TYPES = {8: ">u1", 16: ">u2", 32: ">f4"}
_MODES = {1: ("L", 1), 3: ("RGB", 3), 4: ("CMYK", 4), 8: ("L", 1)}
_RAW, _RUNS, _ZIPPED = range(3)


def open_psd(data: bytes, max_pixels: int) -> Image.Image:
    """Return the picture as RGB.

    Raises: RefusedError: truncated, damaged, or of a kind that is not read. MissingFormatError: the
        extra is not installed. Image.DecompressionBombError: above `max_pixels`.
    """
    try:
        _, version, bands, height, width, bits, mode = _HEADER.unpack_from(data)
        at = _HEADER.size
        for length in (">I", ">I", ">Q" if version == _LARGE else ">I"):
            at += struct.calcsize(length) + struct.unpack_from(length, data, at)[0]
        (packing,) = struct.unpack_from(">H", data, at)
    except struct.error:
        raise RefusedError("truncated PSD") from None
    if bits not in _TYPES or mode not in _MODES or packing > _ZIPPED or bands < _MODES[mode][1]:
        raise RefusedError("PSD of a kind that is not read")
    refuse_bomb(width, height, max_pixels)
    name, colours = _MODES[mode]
    with DECODING.taken(width * height * (bands * bits // 8 + colours * VALUE_NEED), max_pixels):
        size = bands * height * width * bits // 8
        counts = ">u4" if version == _LARGE else ">u2"
        raw = _unpacked(data[at + 2 :], packing, bands * height, size, counts)
        values = np.frombuffer(raw, _TYPES[bits], colours * height * width)
        shown = eight_bits(np.moveaxis(values.reshape(colours, height, width), 0, 2), _full(bits))
        if name == "CMYK":
            shown = 255 - shown  # no ink is the most
        return plain_rgb(Image.fromarray(shown.squeeze(2) if name == "L" else shown, name))


def _full(bits: int) -> Samples:
    return Samples(low=0, high=1 if bits == 32 else 2**bits - 1)


def _unpacked(data: bytes, packing: int, rows: int, size: int, counts: str) -> bytes:
    """Return the values of all bands, one band after the other."""
    if packing == _ZIPPED:
        try:
            data = zlib.decompressobj().decompress(data, size)
        except zlib.error:
            raise RefusedError("damaged PSD") from None
    elif packing == _RUNS:
        data = _without_runs(data, rows, size, counts)
    if len(data) < size:
        raise RefusedError("truncated PSD")
    return data


def _without_runs(data: bytes, rows: int, size: int, counts: str) -> bytes:
    try:
        import imagecodecs
    except ImportError as error:
        raise MissingFormatError("PSD of this kind", "tiff") from error
    start = rows * np.dtype(counts).itemsize
    if len(data) < start:
        raise RefusedError("truncated PSD")
    lengths: npt.NDArray[np.int64] = np.frombuffer(data, counts, rows).astype(np.int64)
    ends = start + np.cumsum(lengths)
    if int(ends[-1]) > len(data):
        raise RefusedError("truncated PSD")
    pieces = zip((ends - lengths).tolist(), ends.tolist(), strict=True)
    return b"".join(
        bytes(imagecodecs.packbits_decode(data[begin:end], out=size // rows))
        for begin, end in pieces
    )
