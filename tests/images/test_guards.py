"""What it will take to decode an image is estimated from its header, as it was measured."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image, features

from sscd_cli.images.guards import need_of

pytestmark = pytest.mark.skipif(not features.check("jpg_2000"), reason="Pillow without OpenJPEG")
SIDE = 256


def jpeg_2000(mode: str, *, boxes: bool = True, **options: tuple[int, int]) -> bytes:
    stream = io.BytesIO()
    image = Image.new(mode, (SIDE, SIDE))
    image.save(stream, "JPEG2000", no_jp2=not boxes, **options)
    return stream.getvalue()


def need(data: bytes) -> float:
    """Bytes a pixel."""
    with Image.open(io.BytesIO(data)) as image:
        return need_of(image, image.size, in_strips=False) / SIDE**2


@pytest.mark.parametrize(("mode", "image", "codec"), [("L", 5, 5), ("RGB", 4, 15), ("RGBA", 8, 20)])
@pytest.mark.parametrize("boxes", [True, False])
def test_of_jpeg_2000_one_tile_at_a_time_is_decoded(
    mode: str, image: int, codec: int, boxes: bool
) -> None:
    assert need(jpeg_2000(mode, boxes=boxes)) == image + codec
    assert need(jpeg_2000(mode, boxes=boxes, tile_size=(64, 32))) == image + codec / 32


def test_jpeg_2000_whose_tiles_are_not_found_counts_as_one_tile() -> None:
    data = jpeg_2000("RGB", tile_size=(64, 32))
    start = data.index(b"jp2c") - 4
    hidden = data[:start] + struct.pack(">I4s", 1, b"free") + data[start:]
    assert need(hidden) == need(jpeg_2000("RGB"))
