"""What happens to an image's pixels before the network: the named preprocessing recipes.

Every recipe resizes with Pillow, which equals torchvision's `Resize` on a PIL image bit for bit;
scaling to [0, 1] and normalisation happen inside the network.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from PIL import Image

# a 1 × 4000 image resized to a short edge of 288 would make a tensor of 3.8 GB
MAX_ASPECT = 4

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class Recipe:
    """How an image is brought to the size that a network sees.

    size: pixels. square: squash to `size` × `size`; otherwise the short edge becomes `size` and
    the long edge keeps the aspect ratio, truncated to whole pixels and to `MAX_ASPECT` · `size`
    (longer images are squashed to that). exif: turn upright by the EXIF orientation first.
    """

    name: str
    size: int
    square: bool
    resample: Literal["bilinear", "bicubic"] = "bilinear"
    exif: bool = True

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) in pixels of a `width` × `height` image after resizing."""
        if self.square:
            return self.size, self.size
        short, long = sorted((width, height))
        bounded = min(int(self.size * long / short), MAX_ASPECT * self.size)
        return (self.size, bounded) if width <= height else (bounded, self.size)

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


def resize(image: Image.Image, recipe: Recipe) -> Image.Image:
    """Return an RGB `image` in the size of `recipe`, antialiased.

    Source: torchvision `transforms.Resize` for PIL images (`Resize(288)`, `Resize((320, 320))`).
    """
    return image.resize(recipe.size_of(*image.size), FILTERS[recipe.resample])
