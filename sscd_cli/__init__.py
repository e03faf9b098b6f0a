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

The floor plan; a room knows only those below it, and tests/test_layers.py which of them:

    __main__      the door: a command line, or `main(argv)`
    cli           words to options, one command, its report, the exit status; progress
    commands      a module a verb, with `run(options) -> Result`; what a notebook calls
    embedding     from sources to rows of descriptors; an image's way stands in it
    joining       all pairs of a dataset: whole, in tasks, on a cluster
    advice        what may go: doubts, second looks at pixels, which is the original
    decisions     what people decided, the plan of acts, the journal of what was done
    training      views, losses, teacher, the loop
    reports       a module a format, reading one back, the page to decide on
    models        the network: files of weights, runtimes, the catalogue
    scoring       centring, whitening, score normalisation, scale, threshold
    evaluation    metrics, copies made on purpose, calibration, the paper's benchmarks
    options       a class a command, checked where one is made
    descriptors   the dataset on disk: shards, writing, reading, the ledger of what is there
    matching      pairs, clusters, keepers, the index: of arrays alone
    images        sources and containers, reading, decoding, resizing
    edits         one drawer of edits, for training, evaluation and explanation
    storage       files whole or absent, here and on servers
    machines      cores, memory and devices; stages, threads, tasks, Ray
    choices       the closed lists of words, and limits
    errors        all that can go wrong, its exit status, and how it is said in one line
    text          how numbers and sizes are written
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
