"""What each model is: by name for the ones we know, from its own story for a file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from sscd_cli.errors import ModelError
from sscd_cli.images.preprocess import Recipe

BUNDLED = "sscd_mini"
BUNDLED_FILE = Path(__file__).with_name("sscd_mini.safetensors")


@dataclass(frozen=True)
class ModelSpec:
    """One model: its network, how images are prepared for it, and what is known of its scores.

    `threshold` is the similarity at which a pair is called a copy unless the user says otherwise;
    `threshold_source` says how it was found. `weights_sha256` identifies the file.
    """

    name: str
    path: Path
    trunk: str
    dimensions: int
    recipe: Recipe
    threshold: float
    threshold_source: str
    weights_sha256: str


def find_model(name: str) -> ModelSpec:
    """Return the model called `name`, or the one in the file of that name.

    Raises: ModelError: neither a known name nor a model file.
    """
    path = BUNDLED_FILE if name == BUNDLED else Path(name)
    if not path.is_file():
        raise ModelError(f"unknown model {name!r}", f"use {BUNDLED} or the path of a model file")
    return _described(name if name == BUNDLED else path.stem, path)


def _described(name: str, path: Path) -> ModelSpec:
    from sscd_cli.models.safetensors_file import read_story

    story = read_story(path)
    threshold = story.get("threshold", {"value": 0.75, "source": DEFAULT_THRESHOLD_SOURCE})
    return ModelSpec(
        name=str(story.get("name", name)),
        path=path,
        trunk=story["trunk"],
        dimensions=int(story["dimensions"]),
        recipe=Recipe(**story["preprocessing"]),
        threshold=float(threshold["value"]),
        threshold_source=str(threshold["source"]),
        weights_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


DEFAULT_THRESHOLD_SOURCE = (
    "the 90 %-precision point published for sscd_disc_mixup on DISC; unmeasured for this model"
)
