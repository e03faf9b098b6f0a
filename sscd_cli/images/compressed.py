"""JPEG files that a GPU may decode in place of a core, and what is known of them without it.

Only files that a fast recipe decodes at less than their size: of all others every pixel has to be
here for its hash, so that nothing would be won.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from sscd_cli.images.decode import Decoded
from sscd_cli.images.opening import TURNED_SIDEWAYS, identified, orientation_of
from sscd_cli.images.preprocess import Recipe, shrink_while_decoding
from sscd_cli.images.read import Contents, Limits
from sscd_cli.images.signatures import JPEG

_END = b"\xff\xd9"
_TAIL = 64  # bytes: some writers pad their files
_GREY, _COLOURS = [1], [1, 2, 3]  # of components: grey, and YCbCr as JFIF numbers it


@dataclass(frozen=True, slots=True)
class Compressed:
    """A JPEG file that is still to be decoded.

    decoded: what `decode_contents` would return, but for its content and pixels. data: the file's
    bytes; `on_gpu` makes a tensor of them. orientation: by EXIF's numbers, how the pixels have to
    be turned. size: width and height that the network sees.
    """

    decoded: Decoded
    data: Any
    orientation: int
    size: tuple[int, int]

    def contents(self) -> Contents:
        """Return the file as it was read, for who decodes it after all."""
        known = self.decoded
        return Contents(known.ref, bytes(self.data), known.mtime_ns, known.content_hash)


def left_compressed(contents: Contents, recipe: Recipe, limits: Limits) -> Compressed | None:
    """Return a file that need not be decoded on a core, if it is one that any decoder reads alike.

    None, too, for whatever is odd in it, down to a missing end: Pillow then says what it is.
    """
    data = contents.data
    if recipe.decode != "fast" or not data.startswith(JPEG) or _END not in data[-_TAIL:]:
        return None
    try:
        image = identified(data, limits.pixels)
        if not _is_plain(image) or image.width * image.height > limits.pixels:
            return None
        full = image.size
        orientation = orientation_of(image) if recipe.exif else 1
        shrink_while_decoding(image, recipe)
    except Exception:
        return None
    if image.size == full:
        return None
    width, height = full[::-1] if orientation in TURNED_SIDEWAYS else full
    decoded = Decoded(
        *(contents.ref, None, width, height, "JPEG", len(data)),
        *(contents.mtime_ns, contents.content_hash),
    )
    return Compressed(decoded, data, orientation, recipe.size_of(width, height))


def _is_plain(image: Image.Image) -> bool:
    """Whether it is one picture in grey or YCbCr, from top to bottom."""
    return (
        isinstance(image, JpegImageFile)
        and image.format == "JPEG"
        and not image.info.get("progressive")
        and image.info.get("adobe_transform", 1) == 1
        and [component[0] for component in image.layer] in (_GREY, _COLOURS)
    )
