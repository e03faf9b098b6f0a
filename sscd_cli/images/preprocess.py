"""What happens to an image's pixels before the network: the named preprocessing recipes.

An exact recipe resizes with Pillow, which equals torchvision's `Resize` on a PIL image bit for
bit; a fast one differs by less than half a grey level on average. Scaling to [0, 1] and
normalisation happen inside the network.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import Literal

from PIL import Image

from sscd_cli.choices import Decode
from sscd_cli.errors import UsageError

# a 1 × 4000 image resized to a short edge of 288 would make a tensor of 3.8 GB
MAX_ASPECT = 4

# a fast recipe shrinks by cheaper means first, but to no less than so many times the final size
SPARE = 1.9  # 12 megapixels may be decoded at an eighth for 192 pixels

Decoding = Literal["exact", "fast"]
Box = tuple[float, float, float, float]  # left, top, right and bottom, in pixels
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class Recipe:
    """How an image is brought to the size that a network sees.

    size: pixels. square: squash to `size` × `size`; otherwise the short edge becomes `size` and
    the long edge keeps the aspect ratio, truncated to whole pixels and to `MAX_ASPECT` · `size`
    (longer images are squashed to that). exif: turn upright by the EXIF orientation first.
    decode: "exact", or "fast": JPEGs are decoded at a half, quarter or eighth of their size where
    that leaves `SPARE` times the final one, other large images averaged in whole boxes to the same.
    """

    name: str
    size: int
    square: bool
    resample: Literal["bilinear", "bicubic"] = "bilinear"
    exif: bool = True
    decode: Decoding = "exact"

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) in pixels of a `width` × `height` image after resizing."""
        if self.square:
            return self.size, self.size
        short, long = sorted((width, height))
        bounded = min(int(self.size * long / short), MAX_ASPECT * self.size)
        return (self.size, bounded) if width <= height else (bounded, self.size)

    def chosen(self, exif: bool, decode: Decode) -> Recipe:
        """Return the recipe with what the user may choose."""
        return replace(self, exif=exif, decode=self.decode if decode == "auto" else decode)

    def as_dict(self) -> dict[str, str | int | bool]:
        """Return everything that decides the pixels, for the provenance of descriptors."""
        return {**asdict(self), "max_aspect": 1 if self.square else MAX_ASPECT}


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("small-288", 288, square=False),
        Recipe("skew-320", 320, square=True),
        Recipe("mini-160", 160, square=True),
        Recipe("birder-320", 320, square=True, resample="bicubic"),
    )
}

# of the colours of ImageNet, RGB in [0, 1]: what networks subtract and divide by
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

SIDES = range(32, 4097)  # of the images that a network sees, in pixels


def recipe_of(word: str) -> Recipe:
    """Return the recipe that a user names: small-N, the short edge becomes N; skew-N, a square.

    Raises: UsageError: it is no such word, or N is not in `SIDES`.
    """
    named = re.fullmatch(r"(small|skew)-(\d{1,4})", word, re.ASCII)
    if not named or int(named[2]) not in SIDES:
        bounds = f"N from {SIDES[0]} to {SIDES[-1]}"
        raise UsageError(f"--recipe {word} is unknown", f"use small-N or skew-N, {bounds}")
    return Recipe(word, int(named[2]), square=named[1] == "skew")


def shrink_while_decoding(image: Image.Image, recipe: Recipe) -> None:
    """Make Pillow decode an image, which was opened but not loaded, at less than full size."""
    width, height = recipe.size_of(*image.size)
    image.draft(None, (int(SPARE * width), int(SPARE * height)))


def boxes_of(have: tuple[int, int], want: tuple[int, int]) -> tuple[int, int]:
    """Return the width and height in pixels that a fast recipe first averages to one."""
    across, down = (int(side / (SPARE * small)) for side, small in zip(have, want, strict=True))
    return max(1, across), max(1, down)
