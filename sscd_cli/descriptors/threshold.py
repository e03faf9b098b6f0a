"""The similarity from which a pair is a copy."""

from __future__ import annotations

from sscd_cli.descriptors.schema import Provenance
from sscd_cli.errors import UsageError


def resolve(threshold: float | None, provenance: Provenance) -> float:
    """Return a threshold that was given, else the one that belongs to the descriptors.

    Raises: UsageError: neither is known, as after post-processing.
    """
    chosen = provenance.threshold if threshold is None else threshold
    if chosen is None:
        raise UsageError(
            f"the threshold of {provenance.model} does not hold after {provenance.post}",
            "name one with --threshold: similarities are on another scale",
        )
    return chosen
