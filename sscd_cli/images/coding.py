"""How a JPEG file quantises its pixels, and what such a file makes of others."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

# formats that code pictures in blocks, which look like the grid of a JPEG file
BLOCKY = frozenset({"JPEG", "MPO", "HEIF", "AVIF", "JXL", "PDF"})


@dataclass(frozen=True)
class Coding:
    """How a JPEG file quantises: its tables, how much coarser its colours are, and if it has any.

    sampling: as Pillow numbers it, -1 where unknown.
    """

    tables: tuple[tuple[int, ...], ...]
    sampling: int
    grey: bool

    @classmethod
    def of(cls, image: Image.Image) -> Coding | None:
        """Return that of an opened file; None where it is no JPEG file, or of a rare kind."""
        if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.mode not in {"RGB", "L"}:
            return None
        tables = tuple(tuple(table) for _, table in sorted(image.quantization.items()))
        sampling = JpegImagePlugin.get_sampling(image)
        grey = image.mode == "L"
        return cls(tables, sampling, grey) if tables and (grey or sampling >= 0) else None

    def coded(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return RGB pixels as such a file would hold them."""
        image = Image.fromarray(pixels)
        stream = io.BytesIO()
        how = {"qtables": [list(table) for table in self.tables]}
        if self.grey:
            image.convert("L").save(stream, "JPEG", **how)
        else:
            image.save(stream, "JPEG", subsampling=self.sampling, **how)
        with Image.open(stream) as read:
            return np.asarray(read.convert("RGB"))
