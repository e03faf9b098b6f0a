"""`sscd leaks`: a gate that says how much of a test set has a copy in the training set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sscd_cli.choices import MODEL
from sscd_cli.commands import against, embed
from sscd_cli.commands.against import AgainstResult
from sscd_cli.decisions.baseline import Pair, read_baseline, write_baseline
from sscd_cli.decisions.records import read_decided
from sscd_cli.descriptors.read import DescriptorSet, read_comparable
from sscd_cli.descriptors.shards import common_provenance, existing_shards, shard_paths
from sscd_cli.embedding.job import images_of, spec_of
from sscd_cli.errors import NoImagesError, SscdError, UsageError
from sscd_cli.options.dedup import DedupOptions
from sscd_cli.options.embed import EmbedOptions
from sscd_cli.options.leaks import LeaksOptions
from sscd_cli.reports.clusters import BANDS, EDITED, EXACT_BYTES, LOOK_AT, SAME_PIXELS
from sscd_cli.reports.leaks.record import (
    ACCEPTED,
    KNOWN,
    NEW,
    STATUSES,
    UNSURE,
    Counts,
    Leak,
    LeakReport,
    Verdict,
)
from sscd_cli.scoring.scale import Scale
from sscd_cli.scoring.threshold import refuse_default
from sscd_cli.storage.places import absolute, place
from sscd_cli.text import counted

_CODES = {status: code for code, status in enumerate(STATUSES)}
_UNKNOWN = "0" * 32  # the hash of what older versions embedded without one
_PLAIN = ("threshold", "post", "score_norm", "low_content", "yes", "device")
_EMBEDDING = ("descriptors", "include", "exclude", "device", "precision", "batch_size", "workers")


@dataclass(frozen=True, eq=False)
class LeaksResult:
    """What was found, and what it is held against.

    found: every pair of a test image and a training image. status: uint8 (P,), the place of each
    pair's status in `reports.leaks.record.STATUSES`. embedded: of each set of images, what
    embedding it did.
    """

    options: LeaksOptions
    found: AgainstResult
    status: NDArray[np.uint8]
    counts: Counts
    verdict: Verdict
    embedded: tuple[embed.EmbedResult, ...]

    def __iter__(self) -> Iterator[Leak]:
        order = np.lexsort((self.found.pairs.right, -self.found.pairs.similarity, self._left))
        for place_, match in zip(order, self.found, strict=True):
            yield Leak(STATUSES[self.status[place_]], match)

    @property
    def _left(self) -> NDArray[np.int64]:
        return self.found.pairs.left

    def clean_ids(self) -> Iterator[str]:
        """Yield the ids of the test images that are in no pair that counts or is in doubt."""
        leaking = set(self._left[self.status != _CODES[ACCEPTED]].tolist())
        ids = enumerate(self.found.stored.ids)
        return (id for row, id in ids if row not in leaking)

    def report(self, command: str = "") -> LeakReport:
        """Return what all formats are made of; `command` is what was typed."""
        header = replace(self.found.header(command), report="leaks", counts={})
        options = self.options
        return LeakReport(
            test=options.test,
            train=options.against,
            header=header,
            counts=self.counts,
            verdict=self.verdict,
            max_leakage=str(options.max_leakage),
            warn_at=str(options.warn_at) if options.warn_at else None,
            leaks=self.__iter__,
        )


def run(options: LeaksOptions, progress: embed.Progress = lambda result: None) -> LeaksResult:
    """Compare two sets, after embedding what is images, and judge what they share.

    A pair that a person called no copy, or that shall stay in both, is accepted; one that was
    called the same is a leak, whatever its similarity. Writes the baseline that was asked for.

    Raises: NoImagesError: a set is empty, or none of it can be read. SscdError: the images of a
        pair have changed since they were embedded, or the sets are such that no threshold tells a
        copy: neither is a result. UsageError, StoreError: as `against.run`.
    """
    options.check()
    scale = Scale.load(options.post, options.score_norm)
    refuse_default(options.threshold, scale)
    baseline = read_baseline(options.baseline) if options.baseline else set()
    test, train, embedded = _sets(options, scale, progress)
    plain = {name: getattr(options, name) for name in _PLAIN}
    settings = DedupOptions(descriptors=test.folder, against=train.folder, **plain)
    settings.check()
    found = against.compare(test, train, settings, scale)
    _refuse_undecided(found)
    decided = _decided(options, test.folder)
    status, gone = _status(found, decided, baseline)
    found = replace(found, sure=status != _CODES[UNSURE])
    counts = _counts(found, status, len(gone), len(train.unreadable))
    if options.write_baseline:
        leaks = np.isin(status, (_CODES[NEW], _CODES[KNOWN]))
        pairs = zip(_keys(found), leaks, strict=True)
        write_baseline(options.write_baseline, (k for k, leaks_ in pairs if leaks_ and k))
    return LeaksResult(options, found, status, counts, _verdict(options, counts), embedded)


def network_of(options: LeaksOptions) -> str | None:
    """Return the model that images need: the one named, or that of descriptors; None for no images.

    Raises: StoreError: descriptors cannot be read.
    """
    stored = [folder for name in (options.against, options.test) if (folder := _dataset(name))]
    if len(stored) == 2:
        return None
    if options.model or not stored:
        return options.model or MODEL
    return common_provenance(existing_shards(stored[0])).model


def _dataset(name: str) -> Path | None:
    """Return the folder of a descriptor dataset; None if it is something else."""
    folder = place(name)
    return folder if shard_paths(folder) else None


def _sets(
    options: LeaksOptions, scale: Scale, progress: embed.Progress
) -> tuple[DescriptorSet, DescriptorSet, tuple[embed.EmbedResult, ...]]:
    """Return the test set, the training set, and what embedding either did."""
    names = options.test, options.against
    folders = [_dataset(name) for name in names]
    network = network_of(options)
    for name, folder in zip(names, folders, strict=True):
        if folder is None and name != "-":
            images_of(_embedding(options, name, network or MODEL))  # refuses what holds none
    for folder in filter(None, folders):
        _check_place(options, folder, network)
    results = {
        name: embed.run(_embedding(options, name, network), progress)
        for name, folder in zip(names, folders, strict=True)
        if folder is None and network
    }
    read = {
        folder: read_comparable(folder, post=scale.post)
        for folder in {folder or options.descriptors for folder in folders}
    }
    test, train = (
        results[name].narrow(read[options.descriptors]) if folder is None else read[folder]
        for name, folder in zip(names, folders, strict=True)
    )
    for name, found in zip(names, (test, train), strict=True):
        if not len(found):
            what = f"nothing of {name} can be read: {counted(len(found.unreadable), 'images')}"
            raise NoImagesError(what, "mend it, or name another set")
    return test, train, tuple(results.values())


def _check_place(options: LeaksOptions, folder: Path, network: str | None) -> None:
    """Refuse to embed one set among the descriptors of the other, or with another model's name."""
    if network is None:
        return
    if absolute(folder) == absolute(options.descriptors):
        what = f"images would be embedded into {folder}, which they are compared with"
        raise UsageError(what, "name another folder with -d")
    spec_of(folder, common_provenance(existing_shards(folder)), options.model)


def _embedding(options: LeaksOptions, name: str, network: str) -> EmbedOptions:
    same = {field: getattr(options, field) for field in _EMBEDDING}
    return EmbedOptions(sources=(name,), model=network, **same)


def _refuse_undecided(found: AgainstResult) -> None:
    """Raise SscdError where what was found does not tell how much leaks."""
    if found.stale:
        what = f"{counted(found.stale, 'images')} of pairs vanished or changed after embedding"
        raise SscdError(what, "run sscd embed again, with --prune")
    if found.crowded:
        what = (
            f"these sets resemble one another: {found.alike.share:.1%} of random pairs are above "
            f"the threshold {found.threshold:.4g}, which tells no copy"
        )
        raise SscdError(what, "run sscd calibrate for a threshold of these, or add --yes")


def _decided(options: LeaksOptions, folder: Path) -> dict[Pair, str]:
    file = options.decisions or folder / "decisions.jsonl"
    return {pair: verdict for pair, (verdict, _) in read_decided(file).items()}


def _keys(found: AgainstResult) -> Iterator[Pair | None]:
    """Yield the sorted content hashes of each pair; None where one is not known."""
    ours, theirs = (side.columns["content_hash"] for side in (found.stored, found.other))
    for left, right in zip(found.pairs.left, found.pairs.right, strict=True):
        low, high = sorted((ours[left].tobytes().hex(), theirs[right].tobytes().hex()))
        yield None if low == _UNKNOWN else (low, high)


def _status(
    found: AgainstResult, decided: dict[Pair, str], baseline: set[Pair]
) -> tuple[NDArray[np.uint8], set[Pair]]:
    """Return the code of each pair's status, and the pairs of the baseline that are gone."""
    status = np.where(found.sure, _CODES[NEW], _CODES[UNSURE]).astype(np.uint8)
    gone = set(baseline)
    for number, pair in enumerate(_keys(found) if decided or baseline else ()):
        if pair is None:
            continue
        gone.discard(pair)
        verdict = decided.get(pair)
        if verdict == "same":
            status[number] = _CODES[NEW]
        elif verdict:
            status[number] = _CODES[ACCEPTED]
        if pair in baseline and status[number] == _CODES[NEW]:
            status[number] = _CODES[KNOWN]
    return status, gone


def _counts(
    found: AgainstResult, status: NDArray[np.uint8], resolved: int, unreadable_others: int
) -> Counts:
    """Count each test image once, by the pair of it that weighs most."""
    weight = np.full(found.images, len(STATUSES))
    np.minimum.at(weight, found.pairs.left, status)
    by_status = {name: int((weight == code).sum()) for name, code in _CODES.items()}
    leaked = weight <= _CODES[KNOWN]
    bands = _bands(found, status)[leaked]
    return Counts(
        images=found.images,
        others=found.others,
        unreadable=found.unreadable,
        unreadable_others=unreadable_others,
        leaked=int(leaked.sum()),
        new=by_status[NEW],
        known=by_status[KNOWN],
        accepted=by_status[ACCEPTED],
        look_at=by_status[UNSURE],
        resolved=resolved,
        bands={b: int((bands == BANDS.index(b)).sum()) for b in BANDS if b != LOOK_AT},
    )


def _bands(found: AgainstResult, status: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return for each test image the place in `BANDS` of its most alike leak."""
    leaks = found.pairs.chosen(status <= _CODES[KNOWN])
    best = np.full(found.images, BANDS.index(LOOK_AT))
    band = np.full(len(leaks), BANDS.index(EDITED))
    for name, word in (("pixel_hash", SAME_PIXELS), ("content_hash", EXACT_BYTES)):
        digests = found.stored.columns[name][leaks.left]
        same = (digests == found.other.columns[name][leaks.right]).all(axis=1)
        band[same & digests.any(axis=1)] = BANDS.index(word)
    np.minimum.at(best, leaks.left, band)
    return best


def _verdict(options: LeaksOptions, counts: Counts) -> Verdict:
    if counts.new > options.max_leakage.of(counts.images):
        return "failed"
    if options.warn_at and counts.new >= options.warn_at.of(counts.images):
        return "warned"
    return "passed"
