"""Tables of images, and what is read from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sscd_cli.images.read import read_bytes
from sscd_cli.images.refs import (
    Columns,
    ImageRef,
)
from sscd_cli.images.sources import iter_images


def written(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def refs(source: object, **columns: str) -> list[ImageRef]:
    return list(iter_images([str(source)], columns=Columns(**columns)))


def contents(images: list[ImageRef]) -> list[bytes]:
    return [read_bytes(ref, 1 << 20)[0] for ref in images]
