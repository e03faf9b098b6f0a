"""TIFF files of any sample format, which Pillow does not write."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

CODES = {2: "B", 3: "H", 4: "I"}
FORMATS = {"u": 1, "i": 2, "f": 3}
Tag = tuple[int, int, Sequence[int]]


def tiff(
    samples: np.ndarray,
    *,
    photometric: int | None = None,
    planes: bool = False,
    order: str = "<",
    extra: Sequence[Tag] = (),
) -> bytes:
    """Return an uncompressed file of samples (H, W) or (H, W, C) in their own type.

    photometric: 0 means that white is zero. extra: more tags, each with its type and values.
    """
    height, width, *rest = samples.shape
    colours, bits = (rest or [1])[0], samples.dtype.itemsize * 8
    parts = np.moveaxis(samples, 2, 0) if planes else samples
    body = parts.astype(samples.dtype.newbyteorder(order)).tobytes()
    strips = colours if planes else 1
    length = len(body) // strips
    kind = photometric if photometric is not None else (2 if colours > 1 else 1)
    tags: list[Tag] = [
        (256, 3, [width]), (257, 3, [height]), (258, 3, [bits] * colours), (259, 3, [1]),
        (262, 3, [kind]), (273, 4, [8 + i * length for i in range(strips)]),
        (277, 3, [colours]), (278, 4, [height]), (279, 4, [length] * strips),
        (284, 3, [2 if planes else 1]), (339, 3, [FORMATS[samples.dtype.kind]] * colours), *extra,
    ]  # fmt: skip
    body += bytes(len(body) % 2)
    start, entries, more = 8 + len(body), b"", b""
    for tag, code, values in sorted(tags):
        payload = struct.pack(f"{order}{len(values)}{CODES[code]}", *values)
        if len(payload) > 4:
            offset = start + 6 + 12 * len(tags) + len(more)
            more += payload + bytes(len(payload) % 2)
            payload = struct.pack(f"{order}I", offset)
        entries += struct.pack(f"{order}HHI", tag, code, len(values)) + payload.ljust(4, b"\0")
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, start)
    return head + body + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + more
