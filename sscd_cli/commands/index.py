"""`sscd index`: a FAISS index beside a descriptor dataset."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from sscd_cli.descriptors.read import DescriptorSet, read_comparable
from sscd_cli.errors import StoreError
from sscd_cli.machines.stages import stage
from sscd_cli.matching.index import Index, ShardStamp, choose_factory
from sscd_cli.options.index import IndexOptions
from sscd_cli.scoring.scale import Scale
from sscd_cli.text import counted

INDEX = "index.faiss"


@dataclass(frozen=True)
class IndexResult:
    """The index and what was done: `added` of its `rows` are new, all of them if `rebuilt`.

    scale: of what it answers, see `scoring.scale`. recall: see `matching.index.Manifest`.
    """

    path: Path
    scale: str
    factory: str
    rows: int
    added: int
    rebuilt: bool
    recall: float | None


def run(options: IndexOptions) -> IndexResult:
    """Build the index of a dataset, or bring the one that is there up to date.

    New images are added without a rebuild; where earlier rows were replaced or pruned, the
    index is built anew.

    Raises: StoreError: no descriptors, or the index cannot be written. UsageError: FAISS does
        not know the factory.
    """
    scale = Scale.load(options.post, None)
    with stage("reading descriptors"):
        stored = read_comparable(options.descriptors, columns=(), post=scale.post)
    path = options.descriptors / INDEX
    with stage("adding to the index"):
        updated = None if options.rebuild else _update(path, stored, options.factory)
    if updated is not None:
        index, added = updated
        if added:
            index.save(path)
        return _result(path, scale, index, added, rebuilt=False)
    with stage(f"building the index of {counted(len(stored), 'images')}"):
        index = Index.build(
            stored.descriptors,
            provenance=asdict(stored.provenance),
            shards=stamps(stored),
            factory=options.factory,
        )
    index.save(path)
    return _result(path, scale, index, len(stored), rebuilt=True)


def _result(path: Path, scale: Scale, index: Index, added: int, *, rebuilt: bool) -> IndexResult:
    manifest = index.manifest
    return IndexResult(
        path, str(scale), manifest.factory, manifest.rows, added, rebuilt, manifest.recall
    )


def load_current(stored: DescriptorSet) -> Index | None:
    """Return the index of a dataset if there is one that covers it as it is now."""
    path = stored.folder / INDEX
    if not path.exists():
        return None
    index = Index.load(path)
    return index if index.is_current(asdict(stored.provenance), stamps(stored)) else None


def stamps(stored: DescriptorSet) -> list[ShardStamp]:
    """Return what an index remembers of the shards that it covers."""
    return [ShardStamp(shard.name, shard.file_bytes, shard.mtime_ns) for shard in stored.shards]


def _update(path: Path, stored: DescriptorSet, factory: str) -> tuple[Index, int] | None:
    """Add the new rows to the index that is there; None where it has to be built anew.

    By "auto" the index keeps its kind, until an exact one is too large for the dataset.
    """
    if not path.exists():
        return None
    try:
        index = Index.load(path)
    except StoreError:
        return None
    wanted = index.manifest.factory if factory == "auto" else factory
    if factory == "auto" and wanted == "Flat":
        wanted = choose_factory(len(stored))
    if index.manifest.factory != wanted or index.manifest.provenance != asdict(stored.provenance):
        return None
    if index.is_current(asdict(stored.provenance), stamps(stored)):
        return index, 0
    added = index.update(stored.descriptors, stamps(stored))
    return None if added is None else (index, added)
