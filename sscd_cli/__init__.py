"""Find edited copies in image datasets with SSCD descriptors.

The Python API; importing it loads nothing heavy until a name is used:

    found = sscd_cli.deduplicate("photos")                   # what `sscd dedup photos` finds
    found.to_pandas()                                        # a row an image: keeper, reason, …
    model = sscd_cli.load_model("sscd_mini", device="cpu")
    descriptors = model.embed(["a.jpg", "b.jpg"])            # float32 (2, D), unit length
    sscd_cli.similarity(descriptors[0], descriptors[1])      # cosine
    stored = sscd_cli.read_descriptors("descriptors")        # what `sscd embed` wrote
    pairs = sscd_cli.find_pairs(stored.descriptors, 0.75)    # left, right, similarity: arrays
    order = numpy.arange(len(stored.descriptors))            # which to keep: the first ones
    clusters = sscd_cli.cluster(pairs, order, stored.descriptors)  # keeper, similarity: arrays
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sscd_cli.text import VERSION

if TYPE_CHECKING:
    from sscd_cli.commands.notebook import deduplicate as deduplicate
    from sscd_cli.commands.notebook import similarity as similarity
    from sscd_cli.descriptors.read import read_descriptors as read_descriptors
    from sscd_cli.errors import SscdError as SscdError
    from sscd_cli.matching.clusters import cluster as cluster
    from sscd_cli.matching.join import find_pairs as find_pairs
    from sscd_cli.models.load import Model as Model
    from sscd_cli.models.load import load_model as load_model

__version__ = VERSION

_HOMES = {
    "Model": "models.load",
    "SscdError": "errors",
    "cluster": "matching.clusters",
    "deduplicate": "commands.notebook",
    "find_pairs": "matching.join",
    "load_model": "models.load",
    "read_descriptors": "descriptors.read",
    "similarity": "commands.notebook",
}
__all__ = ["__version__", *_HOMES]  # noqa: PLE0604  # strings all


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
