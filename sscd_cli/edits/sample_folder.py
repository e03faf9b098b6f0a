"""A folder of pictures to try things on: our own drawings, edited copies of them, a torn file."""

from __future__ import annotations

from importlib.resources import files
from io import BytesIO
from pathlib import Path
from random import Random

from PIL import Image

from sscd_cli.edits.named import named

# by the name of the copy: its original, and the edit of the table that makes it
_COPIES = {
    "alps-brighter.jpg": ("alps", "brightness", "factor 1.5"),
    "balloons-captioned.jpg": ("balloons", "text", "1 line"),
    "canyon-flipped.jpg": ("canyon", "flip", "left-right"),
    "canyon-grey.jpg": ("canyon", "grayscale", "grey"),
    "harbour-cropped.jpg": ("harbour", "crop", "70 % of area"),
    "harbour-half.jpg": ("harbour", "resize", "50 %"),
    "reef-blurred.jpg": ("reef", "blur", "1 % of side"),
    "vase-framed.jpg": ("vase", "border", "5 % of side"),
}
_AGAIN, _LOSSLESS, _TORN = "clock", "planet", "galaxy"


def draw_sample_folder(folder: Path) -> tuple[int, int]:
    """Make a folder of some twenty pictures; return how many originals and copies it holds.

    Raises: OSError: it cannot be written.
    """
    folder.mkdir()
    shipped = files(__package__).joinpath("gallery").iterdir()
    originals = {Path(entry.name).stem: entry.read_bytes() for entry in shipped}
    for name, data in originals.items():
        folder.joinpath(f"{name}.jpg").write_bytes(data)
    for name, (original, edit, strength) in _COPIES.items():
        picture = _opened(originals[original])
        copy = named(edit, strength).apply(picture, Random(0), picture)
        copy.save(folder / name, quality=80)
    folder.joinpath(f"{_AGAIN}-again.jpg").write_bytes(originals[_AGAIN])
    _opened(originals[_LOSSLESS]).save(folder / f"{_LOSSLESS}.png")
    folder.joinpath("torn.jpg").write_bytes(originals[_TORN][: len(originals[_TORN]) // 2])
    return len(originals), len(_COPIES) + 2


def _opened(data: bytes) -> Image.Image:
    with Image.open(BytesIO(data)) as image:
        return image.convert("RGB")
