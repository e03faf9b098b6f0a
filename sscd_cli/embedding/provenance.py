"""What a network puts out, as the footer of a shard says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sscd_cli.choices import Decode, OutputKind
from sscd_cli.descriptors.provenance import Provenance
from sscd_cli.text import VERSION

if TYPE_CHECKING:
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
