"""What a notebook calls: the commands as functions, which also take arrays."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from sscd_cli.choices import DESCRIPTORS, Linkage, Method
from sscd_cli.commands import dedup
from sscd_cli.commands.dedup import DedupResult
from sscd_cli.descriptors.provenance import difference
from sscd_cli.descriptors.read import DescriptorSet
from sscd_cli.descriptors.shards import dataset_at
from sscd_cli.errors import UsageError
from sscd_cli.machines import stages
from sscd_cli.matching import clusters, join
from sscd_cli.matching.copies import Clusters
from sscd_cli.options.dedup import DedupOptions
from sscd_cli.options.embed import EmbedOptions
from sscd_cli.storage.places import place

Source = str | Path

_DRAWN_EVERY = 0.1  # seconds


@overload
def deduplicate(
    images: NDArray[Any],
    threshold: float,
    order_N: NDArray[np.int64],
    linkage: Linkage = "leader",
    method: Method = "auto",
) -> Clusters: ...
@overload
def deduplicate(
    images: Source | Sequence[Source],
    threshold: float | str | None = None,
    order_N: None = None,
    linkage: Linkage = "leader",
    method: Method = "auto",
    *,
    progress: bool = False,
    **options: Any,
) -> DedupResult: ...
def deduplicate(
    images: NDArray[Any] | Source | Sequence[Source],
    threshold: float | str | None = None,
    order_N: NDArray[np.int64] | None = None,
    linkage: Linkage = "leader",
    method: Method = "auto",
    *,
    progress: bool = False,
    **options: Any,
) -> Clusters | DedupResult:
    """Find the clusters of copies: what stays of each, what may go, and why.

    Args: images: sources, as of `sscd dedup` (folders, files, archives, lists), which are embedded
        into ./descriptors first; or a descriptor dataset. threshold: by default the model's own.
        linkage, method, and by name any other option of the command: `descriptors`, `model`,
        `keep`, `device`, …. progress: show a bar of what is being done, of a notebook's own kind
        in a notebook.
        Or descriptors, an array (N, D), with a threshold and `order_N`, int64 (N,): of a cluster
        the row of the lowest number stays; then the result is `matching.copies.Clusters`.
    Returns: a result with `len` (clusters), iteration (clusters with their members), `to_arrow`
        and `to_pandas` (a row an image of a cluster).
    Raises: SscdError, or a kind of it: what the command says. TypeError: no such option.
    """
    if isinstance(images, np.ndarray):
        if not isinstance(threshold, float | int) or order_N is None:
            raise TypeError("an array of descriptors needs a threshold and order_N")
        return clusters.deduplicate(images, threshold, order_N, linkage, method, **options)
    if order_N is not None:
        raise TypeError("order_N is for an array of descriptors; use keep")
    named = [images] if isinstance(images, str | Path) else list(images)
    found = {"threshold": threshold, "linkage": linkage, "method": method}
    with _bars() if progress else nullcontext():
        return _deduplicate(tuple(map(str, named)), {**options, **found})


def _deduplicate(sources: tuple[str, ...], given: dict[str, Any]) -> DedupResult:
    """Run the command on sources, or on the one descriptor dataset that they are."""
    stored = dataset_at(sources[0]) if len(sources) == 1 else None
    given["descriptors"] = stored or place(given.get("descriptors", DESCRIPTORS))
    plain, embedding = (_of(kind, given) for kind in (DedupOptions, EmbedOptions))
    known = plain if stored else plain | embedding
    if unknown := given.keys() - known:
        raise TypeError(f"deduplicate has no option {min(unknown)!r} for this")
    options = DedupOptions(**plain)
    return dedup.run(options, None if stored else EmbedOptions(sources=sources, **embedding))


@contextmanager
def _bars() -> Iterator[None]:
    """Show each stage as a bar while the context lasts."""
    over = threading.Event()
    with stages.watched_by(partial(_show_stages, over), over):
        yield


def _show_stages(over: threading.Event) -> None:
    from tqdm.auto import tqdm

    shown: stages.Stage | None = None
    bar: Any = None  # a bar of no length has no truth value
    while not over.wait(_DRAWN_EVERY):
        stage = stages.current()
        if stage is not shown:
            if bar is not None:
                bar.close()
            new = {"leave": False, "unit_scale": True}
            bar = tqdm(desc=stage.name, unit=stage.unit or "it", **new) if stage else None
            shown = stage
        if stage:
            bar.n, bar.total = stage.done, stage.total
            bar.refresh()
    if bar is not None:
        bar.close()


def _of(kind: type, given: dict[str, Any]) -> dict[str, Any]:
    """Return those of some options that a class has."""
    names = {field.name for field in fields(kind)} - {"against", "cluster", "task", "sources"}
    return {name: given[name] for name in names & given.keys()}


def similarity(
    left: NDArray[Any] | DescriptorSet, right: NDArray[Any] | DescriptorSet
) -> NDArray[np.float32]:
    """Return the cosine similarities of two sets of descriptors, float32 (N, M), in [-1, 1].

    Either may be one descriptor (D,); its axis is then missing from the result.
    Raises: UsageError: they were made by different models, as far as they tell: stored sets,
        what `Model.embed` returned, or rows of unequal length.
    """
    if contrast := _difference(left, right):
        raise UsageError(f"these cannot be compared: {contrast}", "embed both with the same model")
    rows = (s.descriptors if isinstance(s, DescriptorSet) else s for s in (left, right))
    return join.similarity_matrix(*rows)


def _difference(left: Any, right: Any) -> str | None:
    """Say what keeps two sets from being compared; None if nothing is known to."""
    if isinstance(left, DescriptorSet) and isinstance(right, DescriptorSet):
        return difference(left.provenance, right.provenance)
    makers = [_made_by(side) for side in (left, right)]
    if all(makers) and makers[0] != makers[1]:
        return " against ".join(makers)
    widths = [np.shape(s.descriptors if isinstance(s, DescriptorSet) else s) for s in (left, right)]
    if widths[0][-1:] != widths[1][-1:]:
        return " against ".join(f"{width[-1]:,} dimensions" for width in widths)
    return None


def _made_by(side: Any) -> str:
    if isinstance(side, DescriptorSet):
        made = side.provenance
        return f"{made.model} (weights {made.weights_sha256[:12]})" if not made.post else ""
    return str(getattr(side, "made_by", ""))
