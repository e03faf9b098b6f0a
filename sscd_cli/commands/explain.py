"""`sscd dedup --explain`: which single edit accounts for each image that may go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from sscd_cli.commands.dedup import DedupResult
from sscd_cli.descriptors.shards import common_provenance, existing_shards
from sscd_cli.embedding.provenance import model_of, spec_of
from sscd_cli.errors import SscdError
from sscd_cli.evaluation.explanation import explain
from sscd_cli.images.decode import load_image
from sscd_cli.images.status import stored_ref
from sscd_cli.machines.hardware import keep_large_allocations
from sscd_cli.machines.stages import stage
from sscd_cli.models.load import Model
from sscd_cli.reports.clusters import Cluster, ExplainedMember, Member


def check(folder: Path, model: str | None) -> None:
    """Raise what `run` would of a model, without a look at any row: before pairs are looked for.

    Raises: StoreError: no descriptors in `folder`; and as `model_of`.
    """
    spec_of(folder, common_provenance(existing_shards(folder)), model)


def run(found: DedupResult, *, model: str | None = None, device: str = "auto") -> Iterator[Cluster]:
    """Return the clusters of a result, explaining them one by one as they are asked for.

    Each image that may go, or deserves a look, is compared with its keeper, both read anew, by
    plain cosine. model: as for `model_of`.

    Raises: ModelError, StoreError: as `model_of`, at once.
    """
    keep_large_allocations()
    loaded = model_of(found.stored, model, device)
    return _explained(found, loaded, exif=found.stored.provenance.exif)


def _explained(found: DedupResult, model: Model, *, exif: bool) -> Iterator[Cluster]:
    with stage("images", found.removable + found.look_at) as explained:
        for cluster in found:
            by_path = {member.path: member for member in cluster.members}
            members = []
            for member in cluster.members:
                text = ""
                if member.band:
                    text = _sentence(by_path[member.keeper], member, model, exif=exif)
                    explained.add(1)
                members.append(ExplainedMember(**asdict(member), explanation=text))
            yield replace(cluster, members=tuple(members))


def _sentence(keeper: Member, copy: Member, model: Model, *, exif: bool) -> str:
    try:
        refs = [stored_ref(member.source, member.id) for member in (keeper, copy)]
        images = [load_image(ref, exif=exif) for ref in refs]
    except SscdError as error:
        return f"not explained: {error.what}"
    found = explain(model.embed, *images, side=model.spec.recipe.size)
    return found.sentence("what stays", "this")
