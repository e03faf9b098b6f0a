"""All cells of the matrix of similarities on a GPU, of which only the candidates come back.

Products of float16 rows summed in float32, their comparison with the cut, and the search for the
few cells above it all happen on the device. It holds a part of the one set while the other passes
by in blocks, so that both may be larger than its memory.

Never run on a GPU: the tests run this very code on the CPU.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sscd_cli.errors import SscdError
from sscd_cli.matching.products import Indices

HELD = 1 << 17  # rows on the device: a block of columns is multiplied by all before the next comes
ROWS, COLUMNS = 1 << 13, 1 << 14  # of a tile: 256 MiB of scores, 1 GiB of indices if all are marked


def margin(dimensions: int) -> float:
    """Return by how much a product here can fall short of the rows' own, of length 1 or so.

    Rounding a row to float16 changes it by 2^-11 of its length (not at all if it is stored so),
    twice, and the result by 2^-11; sums in float32 lose 2^-23 a dimension where they are cut off
    instead of rounded, and twice that is allowed (Fasi, Higham, Mikaitis, Pranesh, "Numerical
    behavior of NVIDIA tensor cores", 2021). Another 2^-11 is for rows a little longer than 1.
    """
    return 4 * 2**-11 + dimensions * 2**-22


def marked_cells(
    left_ND: NDArray[Any], right_MD: NDArray[Any], cut: float, device: str
) -> Iterator[tuple[Indices, Indices]]:
    """Yield (left, right): every cell whose product is at or above `cut`, and some just below.

    Of one set with itself only those with left < right. Memory of the device: 1.6 GiB and
    300 kB a dimension.
    Raises: SscdError: that is more than it has left.
    """
    bound = _below(cut - margin(left_ND.shape[1]))
    within = right_MD is left_ND
    try:
        for start, other, above in _tiles(left_ND, right_MD, bound, device):
            flat = torch.nonzero(above.view(-1)).cpu().numpy()[:, 0]
            row, column = np.divmod(flat, above.shape[1])
            left, right = row + start, column + other
            kept = left < right if within else slice(None)
            yield left[kept], right[kept]
    except torch.OutOfMemoryError as error:
        raise SscdError(f"{device} has too little memory left", "add --device cpu") from error


def _tiles(
    left_ND: NDArray[Any], right_MD: NDArray[Any], bound: float, device: str
) -> Iterator[tuple[int, int, Tensor]]:
    """Yield each tile's first row and column, and bool (R, C): which scores reach the bound."""
    within = right_MD is left_ND
    for first in range(0, len(left_ND), HELD):
        held = _upload(left_ND[first : first + HELD], device)
        for other in range(0, len(right_MD), COLUMNS):
            if within and other + COLUMNS <= first:
                continue
            columns = _upload(right_MD[other : other + COLUMNS], device)
            for start in range(first, first + len(held), ROWS):
                if within and other + COLUMNS <= start:
                    continue
                rows = held[start - first : start - first + ROWS]
                with _sums_in_float32():
                    scores = torch.mm(rows, columns.T)
                yield start, other, scores >= bound


def _upload(rows_ND: NDArray[Any], device: str) -> Tensor:
    return torch.from_numpy(rows_ND.astype(np.float16)).to(device)


def _below(bound: float) -> float:
    """Return a float16 at most as large: a comparison in float16 rounds it no further."""
    return float(np.nextafter(np.float16(bound), np.float16(-np.inf)))


@contextmanager
def _sums_in_float32() -> Iterator[None]:
    """Forbid sums in float16, which PyTorch allows cuBLAS in part, for as long as the block."""
    settings = torch.backends.cuda.matmul
    names = ("allow_fp16_reduced_precision_reduction", "allow_fp16_accumulation")
    before = [getattr(settings, name) for name in names]
    for name in names:
        setattr(settings, name, False)
    try:
        yield
    finally:
        for name, value in zip(names, before, strict=True):
            setattr(settings, name, value)


def has_gpu() -> bool:
    """Whether PyTorch finds a GPU, and it multiplies as it should."""
    try:
        return torch.cuda.is_available() and seconds_a_cell("cuda", 512) > 0
    except (RuntimeError, SscdError):
        return False


@cache
def seconds_a_cell(device: str, dimensions: int) -> float:
    """Find the pairs that were put into a tile on a device, by the clock.

    Raises: SscdError: it misses some, or has too little memory left.
    """
    generator = np.random.default_rng(0)
    right = generator.standard_normal((COLUMNS, dimensions), np.float32)
    left = right[:ROWS] + generator.standard_normal((ROWS, dimensions), np.float32)
    left, right = (
        (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
        for rows in (left, right)
    )
    for _ in range(2):  # the first also loads libraries
        started = time.perf_counter()
        found = [row * COLUMNS + column for row, column in marked_cells(left, right, 0.7, device)]
        seconds = time.perf_counter() - started
    alike = np.einsum("nd,nd->n", left, right[:ROWS], dtype=np.float32) >= 0.7
    if not np.isin(np.flatnonzero(alike) * (COLUMNS + 1), np.concatenate(found)).all():
        raise SscdError(f"{device} multiplies wrongly", "add --device cpu")
    return seconds / (ROWS * COLUMNS)
