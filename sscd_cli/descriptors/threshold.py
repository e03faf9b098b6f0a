"""The similarity from which a pair is a copy."""

from __future__ import annotations

from sscd_cli.descriptors.scale import COSINE, Scale
from sscd_cli.descriptors.schema import Provenance
from sscd_cli.errors import UsageError


def resolve(threshold: float | None, provenance: Provenance, scale: Scale = COSINE) -> float:
    """Return a threshold that was given, else the model's own, which is one of plain cosine.

    Raises: UsageError: none was given for another scale.
    """
    if threshold is not None:
        return threshold
    if provenance.threshold is None or not scale.is_cosine:
        raise UsageError(
            f"the threshold of {provenance.model} is one of plain cosine, and --post and "
            "--score-norm put similarities on another scale",
            "name one of that scale with --threshold",
        )
    return provenance.threshold
