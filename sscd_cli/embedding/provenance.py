"""What a network puts out, as the footer of a shard says it, and which network that was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sscd_cli.choices import Decode, OutputKind
from sscd_cli.descriptors.provenance import Provenance
from sscd_cli.errors import StoreError, UnknownModelError, UsageError
from sscd_cli.images.preprocess import recipe_of
from sscd_cli.text import VERSION

if TYPE_CHECKING:
    from sscd_cli.descriptors.read import DescriptorSet
    from sscd_cli.models.catalogue.registry import ModelSpec
    from sscd_cli.models.load import Model


def provenance_of(
    model: Model,
    *,
    exif: bool,
    dtype: str,
    kind: OutputKind = "descriptor",
    decode: Decode = "auto",
) -> Provenance:
    """Return what the footer of a shard says of what `model` puts out now."""
    import PIL

    return Provenance(
        model=model.spec.name,
        weights_sha256=model.spec.weights_sha256,
        dimensions=model.runtime.width(kind),
        preprocessing=model.spec.recipe.chosen(exif, decode).as_dict(),
        dtype="float32" if dtype == "float32" else "float16",
        precision=model.runtime.precision,
        threshold=model.spec.threshold,
        look_at=model.spec.look_at,
        output_kind=kind,
        tool_version=VERSION,
        pillow_version=PIL.__version__,
    )


def model_of(
    stored: DescriptorSet, name: str | None, device: str, precision: str = "auto"
) -> Model:
    """Return the model that made some descriptors, by its own name where none is given.

    precision: "auto" is int8 for descriptors that were made so, which no other can be compared to.
    Raises: as `spec_of`.
    """
    from sscd_cli.models.load import load_model

    made_by = stored.provenance
    if precision == "auto" and made_by.precision == "int8":
        precision = "int8"
    with _same_weights(stored.folder, made_by, name) as check:
        model = load_model(name or made_by.model, device=device, precision=precision)
        check(model.spec)
    if model.spec.recipe_stated:
        return model
    recipe = recipe_of(str(made_by.preprocessing.get("name")))
    return replace(model, spec=replace(model.spec, recipe=recipe))


def spec_of(folder: Path, made_by: Provenance, name: str | None) -> ModelSpec:
    """Return what is known of the model that made some descriptors; its weights are not loaded.

    Raises: ModelError: there is none of that name. StoreError: it has other weights.
    """
    from sscd_cli.models.catalogue.registry import find_model

    with _same_weights(folder, made_by, name) as check:
        spec = find_model(name or made_by.model)
        check(spec)
    return spec


@contextmanager
def _same_weights(
    folder: Path, made_by: Provenance, name: str | None
) -> Iterator[Callable[[ModelSpec], None]]:
    """Yield what refuses a model with other weights; say of which descriptors none is known."""

    def check(spec: ModelSpec) -> None:
        if spec.weights_sha256 != made_by.weights_sha256:
            raise StoreError(
                f"{folder} was made by {made_by.model} with other weights "
                f"({made_by.weights_sha256[:12]}) than {spec.path}",
                "name the file of its model with --model",
            )

    try:
        yield check
    except UnknownModelError:
        if name:
            raise
        what = f"{folder} was made by {made_by.model}, which is a model of one's own"
        raise UsageError(what, "name its file with --model") from None
