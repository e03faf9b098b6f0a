"""A tensor as a weight file describes it, before any of its bytes are read."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, cast

ITEM_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}
FLOATS = ("F64", "F32", "F16", "BF16")

# the largest published network holds 44 million numbers in 626 tensors
MAX_NUMBERS = 1 << 29
MAX_DIMENSIONS = 8


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies: `storage` names the bytes, the rest says how to look at them.

    dtype: as safetensors spells it, a key of `ITEM_BYTES`. offset and stride count numbers, not
    bytes. Nothing here is trusted until `fits` said so.
    """

    storage: str
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def fits(self, storage_bytes: int) -> bool:
        """Whether every number of the tensor lies inside a storage of that many bytes.

        False too for a view that repeats numbers, which would need more memory than the file.
        """
        if not all(isinstance(value, tuple) for value in (self.shape, self.stride)):
            return False
        if self.dtype not in ITEM_BYTES or len(self.shape) != len(self.stride):
            return False
        whole = (self.offset, *self.shape, *self.stride)
        if len(self.shape) > MAX_DIMENSIONS or any(type(n) is not int or n < 0 for n in whole):
            return False
        available = storage_bytes // ITEM_BYTES[self.dtype]
        if not 0 < prod(self.shape) <= min(available, MAX_NUMBERS):
            return False
        last = sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        return self.offset + last < available


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of a tensor whose last axis is dense."""
    strides: list[int] = []
    step = 1
    for size in reversed(shape):
        strides.insert(0, step)
        step *= size
    return tuple(strides)


def as_shape(value: Any) -> tuple[int, ...]:
    """Return an untrusted sequence as a tuple of whole numbers. Raises ValueError for others."""
    if not isinstance(value, tuple | list) or any(type(n) is not int or n < 0 for n in value):
        raise ValueError(f"{value!r:.60} is no shape")
    if len(value) > MAX_DIMENSIONS:
        raise ValueError("a tensor has too many axes")
    return cast(tuple[int, ...], tuple(value))
