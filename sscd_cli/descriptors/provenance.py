"""What made descriptors, and whether others can be compared with them. Loads no pyarrow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sscd_cli.text import from_json

Descriptor = npt.NDArray[np.float16] | npt.NDArray[np.float32]


@dataclass(frozen=True)
class Provenance:
    """What made the descriptors of a shard.

    weights_sha256: hex. dimensions: length of a descriptor. preprocessing: the recipe as JSON
    values (name, size, EXIF on or off). dtype: how descriptors are stored. precision: how the
    network computed ("fp32", "bf16"). threshold: the similarity from which the model calls a pair
    copies, for who names no other; None where none is known. look_at: the lower one from which a
    pair deserves a look; None is the threshold itself. output_kind: "descriptor", or another
    output of the network ("embedding", "logits"), which is not of unit length. post: what was
    applied to the descriptors since (see `post.PostProcessing`), None in every shard.
    """

    model: str
    weights_sha256: str
    dimensions: int
    preprocessing: dict[str, Any]
    dtype: Literal["float16", "float32"]
    precision: str
    tool_version: str
    pillow_version: str
    threshold: float | None = None
    output_kind: str = "descriptor"
    post: str | None = None
    look_at: float | None = None

    @property
    def exif(self) -> bool:
        """Whether images were turned upright by their EXIF tag."""
        return bool(self.preprocessing.get("exif", True))

    def to_json(self) -> bytes:
        """Return the footer's text: sorted keys, so that equal values give equal bytes."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Provenance:
        """Read a footer; fields that a later version added are ignored, and those that an earlier
        one did not know take their defaults.

        Raises: ValueError: not JSON. KeyError, TypeError: a field without a default is missing.
        """
        stored = from_json(text)
        wanted = (f.name for f in fields(cls) if f.default is MISSING or f.name in stored)
        return cls(**{name: stored[name] for name in wanted})


def difference(left: Provenance, right: Provenance) -> str | None:
    """Say what keeps two sets from being compared, naming both sides; None if nothing does.

    Weights, dimensions, preprocessing and post-processing count. The stored dtype, the precision,
    the way to decode and the versions of the tools move descriptors by little and are let through:
    bfloat16 has a cosine of 0.9995 with float32 at the least, fast decoding 0.9999 with exact.
    "int8" is one file of whole numbers, the same on every machine: 0.999 on average, and let
    through. What earlier versions calibrated on each machine, "int8-…", is refused: 0.94 to 0.99.
    """
    if left.weights_sha256 != right.weights_sha256:
        return f"{_model(left)} against {_model(right)}"
    if left.output_kind != right.output_kind:
        return f"{left.output_kind} rows against {right.output_kind} rows"
    if left.post != right.post:
        return " against ".join(side.post or "no post-processing" for side in (left, right))
    if left.dimensions != right.dimensions:
        return f"{left.dimensions} dimensions against {right.dimensions}"
    return _unlike(left, right)


def _unlike(left: Provenance, right: Provenance) -> str | None:
    """As `difference`, of networks that are the same: what they were fed and how they compute."""
    if left.precision != right.precision and "int8-" in left.precision + right.precision:
        return f"{left.precision} against {right.precision}"
    ours, theirs = (json.loads(side.to_json())["preprocessing"] for side in (left, right))
    keys = sorted(k for k in ours | theirs if ours.get(k) != theirs.get(k) and k != "decode")
    if keys:
        return f"preprocessing {_settings(ours, keys)} against {_settings(theirs, keys)}"
    return None


def _model(provenance: Provenance) -> str:
    return f"{provenance.model} (weights {provenance.weights_sha256[:12]})"


def _settings(values: Mapping[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(f"{key}={values.get(key)}" for key in keys)
