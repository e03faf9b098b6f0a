"""Preprocessing recipes: sizes and pixels as torchvision has them, bounds, provenance."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sscd_cli.images.preprocess import RECIPES, Recipe
from sscd_cli.images.resize import resize


def noise(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width * 10_000 + height)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def coverage(size_in: int, size_out: int, support: float) -> np.ndarray:
    """Weights (size_out, size_in) of an antialiased triangle filter, from its definition."""
    scale = size_in / size_out
    width = max(scale, 1.0) * support
    centres = (np.arange(size_out) + 0.5) * scale
    distance = np.abs(np.arange(size_in) + 0.5 - centres[:, None])
    weights = np.maximum(0.0, 1.0 - distance / width)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (500, 375, (384, 288)),
        (375, 500, (288, 384)),
        (333, 500, (288, 432)),
        (1000, 667, (431, 288)),  # 431.78, truncated
        (288, 288, (288, 288)),
        (10, 10, (288, 288)),
        (1, 4000, (288, 1152)),
        (4000, 1, (1152, 288)),
    ],
)
def test_short_edge_recipe_truncates_and_bounds_the_long_edge(
    width: int, height: int, expected: tuple[int, int]
) -> None:
    assert RECIPES["small-288"].size_of(width, height) == expected


@pytest.mark.parametrize("name", ["skew-320", "mini-160", "birder-320"])
def test_square_recipes_squash(name: str) -> None:
    size = int(name[-3:])
    assert resize(noise(97, 33), RECIPES[name]).shape == (size, size, 3)


@pytest.mark.parametrize("size", [(500, 375), (90, 331), (160, 160)])
def test_bilinear_is_the_antialiased_triangle_filter(size: tuple[int, int]) -> None:
    image = noise(*size)
    across, down = coverage(size[0], 160, 1.0), coverage(size[1], 160, 1.0)
    planes = np.asarray(image, dtype=float).transpose(2, 0, 1)
    expected = (down @ planes @ across.T).transpose(1, 2, 0)
    got = resize(image, RECIPES["mini-160"]).astype(float)
    assert np.abs(got - expected).max() <= 1.01  # rounded to 8 bits after each axis


def test_resize_is_that_of_torchvision_when_it_is_installed() -> None:
    try:
        from torchvision.transforms import InterpolationMode, Resize
    except (ImportError, RuntimeError):
        pytest.skip("torchvision is not installed")
    modes = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}
    for recipe in RECIPES.values():
        size = (recipe.size, recipe.size) if recipe.square else recipe.size
        for image in (noise(500, 375), noise(211, 640)):
            expected = np.asarray(Resize(size, modes[recipe.resample])(image))
            assert np.array_equal(resize(image, recipe), expected)


def test_recipe_says_all_that_decides_the_pixels() -> None:
    recipe = RECIPES["small-288"]
    assert recipe.as_dict() == {
        "name": "small-288", "size": 288, "square": False, "resample": "bilinear",
        "exif": True, "decode": "exact", "max_aspect": 4,
    }  # fmt: skip
    assert json.loads(json.dumps(recipe.as_dict())) == recipe.as_dict()
    assert replace(recipe, exif=False).as_dict() != recipe.as_dict()


def test_recipes_are_found_by_their_own_name() -> None:
    assert all(recipe.name == name for name, recipe in RECIPES.items())
    assert RECIPES["birder-320"] == Recipe("birder-320", 320, square=True, resample="bicubic")
