"""`--estimate`: what a run would take on this machine; nothing is written."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from sscd_cli.descriptors.ledger import Ledger
from sscd_cli.descriptors.read import read_comparable
from sscd_cli.descriptors.schema import name_digest
from sscd_cli.embedding.job import Job
from sscd_cli.embedding.local import embed_stream
from sscd_cli.embedding.stream import default_batch, default_workers
from sscd_cli.errors import UsageError
from sscd_cli.images.refs import ImageRef
from sscd_cli.images.status import stat_image
from sscd_cli.joining.tasks import device_of
from sscd_cli.machines.hardware import keep_large_allocations
from sscd_cli.matching.join import JoinPlan, plan_join
from sscd_cli.models.load import Model
from sscd_cli.options.dedup import DedupOptions
from sscd_cli.options.embed import EmbedOptions
from sscd_cli.scoring.scale import Scale
from sscd_cli.scoring.threshold import resolve

PROBE = 96
ROW_BYTES = 120  # of a stored row beside its descriptor, names of ordinary length
LEDGER_BYTES = 56  # in memory, an image


@dataclass
class Estimate:
    """What a run would do.

    images: named by the sources; unchanged: of them, stored already; file_bytes: to read.
    probed: images that were embedded to find `images_per_second`, start-up left out. seconds: of
    the whole run, at that speed. memory_bytes: peak of main memory. disk_bytes: what the dataset
    grows by.
    """

    model: str
    device: str
    precision: str
    images: int = 0
    unchanged: int = 0
    file_bytes: int = 0
    probed: int = 0
    images_per_second: float = 0.0
    seconds: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0


def run(options: EmbedOptions) -> Estimate:
    """Name all images, embed a random few of them, and return what the rest would take.

    Limits: the probe is random among the files, so a folder whose large ones are rare is judged
    to within the luck of the draw; a list on stdin is used up.
    Raises: as `embed.run`, and StoreError if the dataset is damaged; nothing is written.
    """
    if len(options.devices) > 1:
        raise UsageError("--estimate tries one device", "name one of them")
    keep_large_allocations()
    job = options.fill(Job)
    model = job.network()
    provenance = job.provenance(model)
    result = Estimate(model.spec.name, str(model.runtime.device), model.runtime.precision)
    ledger = Ledger(job.descriptors, provenance, job.task)
    sample = _sample(job.images(), ledger, result)
    if sample:
        _probe(sample, model, job, result)
    todo = result.images - result.unchanged
    width = provenance.dimensions * (2 if options.dtype == "float16" else 4)
    result.disk_bytes = todo * (width + ROW_BYTES)
    result.memory_bytes = _peak_memory() + result.images * LEDGER_BYTES
    return result


def _sample(refs: Iterable[ImageRef], ledger: Ledger, result: Estimate) -> list[ImageRef]:
    """Count the images that are new, and draw some of them, each with the same chance."""
    sample: list[ImageRef] = []
    draw, seen = Random(0), 0
    for ref in refs:
        result.images += 1
        try:
            status = stat_image(ref)
        except Exception:
            continue
        if ledger.unchanged(name_digest(ref.source, ref.id), *status):
            result.unchanged += 1
            continue
        result.file_bytes += status.file_bytes or 0
        seen += 1
        if len(sample) < PROBE:
            sample.append(ref)
        elif (place := draw.randrange(seen)) < PROBE:
            sample[place] = ref
    return sample


def _probe(sample: list[ImageRef], model: Model, job: Job, result: Estimate) -> None:
    """Embed the sample, once to warm up with a few and then all of it, by the clock."""
    workers = default_workers(model) if job.workers is None else job.workers
    batch = job.batch_size or default_batch(model)
    even = max(1, min(batch, len(sample) // max(workers, 1)))
    for some in (sample[:even], sample):
        start = time.perf_counter()
        decoder = job.decoder(model)
        for _ in embed_stream(some, model, decoder, batch_size=even, workers=workers):
            pass
        taken = time.perf_counter() - start
    result.probed = len(sample)
    result.images_per_second = len(sample) / taken
    result.seconds = (result.images - result.unchanged) / result.images_per_second


def _peak_memory() -> int:
    """Return the most bytes that this process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@dataclass(frozen=True)
class JoinEstimate:
    """What looking for pairs would take; memory_bytes with the descriptors."""

    images: int
    plan: JoinPlan
    memory_bytes: int


def run_join(options: DedupOptions) -> JoinEstimate:
    """Plan the join of a stored dataset as `dedup` would; identical images are not yet collapsed.

    Raises: as `dedup.run`.
    """
    scale = Scale.load(options.post, options.score_norm)
    stored = read_comparable(options.descriptors, columns=(), post=scale.post)
    threshold = resolve(options.threshold, stored.provenance, options.descriptors, scale)
    device, recall = device_of(options.device), options.min_recall
    plan = plan_join(stored.descriptors, threshold, options.method, device, recall)
    return JoinEstimate(len(stored), plan, plan.memory_bytes + stored.descriptors.nbytes)
