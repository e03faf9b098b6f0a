"""`sscd calibrate`: the threshold of a wanted precision, from one's own images."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.advice.files import is_as_embedded
from sscd_cli.commands import embed
from sscd_cli.commands.evaluate.self_copies import LazyImages, held_bytes
from sscd_cli.descriptors.read import DescriptorSet, read_comparable
from sscd_cli.edits.named import EDITS, Edit
from sscd_cli.embedding.job import EmbedResult
from sscd_cli.embedding.provenance import model_of
from sscd_cli.errors import NoImagesError, SscdError, UsageError
from sscd_cli.evaluation.calibration import Assumed, Calibration, Similarities, calibrate
from sscd_cli.evaluation.self_copies import copy_similarities
from sscd_cli.images.decode import load_image
from sscd_cli.images.refs import ImageRef
from sscd_cli.images.status import stored_ref
from sscd_cli.machines.hardware import keep_large_allocations
from sscd_cli.machines.stages import each, stage
from sscd_cli.matching.doubts import as_keys
from sscd_cli.matching.join import cross_pairs, similarity_matrix
from sscd_cli.models.load import Model
from sscd_cli.options.calibrate import CalibrateOptions
from sscd_cli.options.embed import EmbedOptions
from sscd_cli.scoring.scale import Scale
from sscd_cli.scoring.threshold import CalibratedThreshold, threshold_path
from sscd_cli.text import counted

PAIRS = 2_000_000_000  # compared at most: seconds on two cores
_ROWS = (200, 2000)  # of which, at least and at most, all pairs are looked at
_SIMILAR_PAIRS = 16_000  # kept of all, the most similar ones
_ROWS_OF_SAMPLE = 32


@dataclass(frozen=True, eq=False)
class CalibrateResult:
    """What was found, from how much, and where it was written (nowhere without a threshold).

    scale: of the similarities, see `scoring.scale`. images: different ones in the dataset.
    sampled: those of which copies were made. copies: made. embedded: what embedding the sources
    did, if there were any.
    """

    calibration: Calibration
    model: str
    scale: str
    images: int
    sampled: int
    copies: int
    output: Path | None
    embedded: EmbedResult | None


def run(
    options: CalibrateOptions,
    embedding: EmbedOptions | None = None,
) -> CalibrateResult:
    """Find the threshold of a dataset, and write it down; first embed `embedding`'s sources.

    Raises: UsageError: an impossible option. NoImagesError: too few images, or none of their
        files can be read. StoreError: no descriptors, or another model's; it cannot be written.
    """
    keep_large_allocations()
    weights = _weigh(options.weights)
    scale = Scale.load(options.post, options.score_norm)
    embedded = embed.run_before(embedding)
    stored = _different_images(options, embedded, scale)
    model = model_of(stored, options.model, options.device)
    copies_IE = _copies(stored, model, scale, tuple(weights), options)
    found = calibrate(
        _known(stored, scale, copies_IE, list(weights.values()), options.seed),
        options.wanted_precision,
        Assumed(options.images, options.copies_per_image),
        seed=options.seed,
    )
    output = options.output or threshold_path(options.descriptors)
    return CalibrateResult(
        calibration=found,
        model=stored.provenance.model,
        scale=str(scale),
        images=len(stored),
        sampled=len(copies_IE),
        copies=copies_IE.size,
        output=_write(found, stored, scale, output),
        embedded=embedded,
    )


def _different_images(
    options: CalibrateOptions, embedded: EmbedResult | None, scale: Scale
) -> DescriptorSet:
    """Return the images asked for, of identical files only the first."""
    columns = ("file_bytes", "mtime_ns", "content_hash")
    stored = read_comparable(options.descriptors, columns=columns, post=scale.post)
    if embedded:
        stored = embedded.narrow(stored)
    first = np.zeros(len(stored), bool)
    first[np.unique(as_keys(stored.columns["content_hash"]), return_index=True)[1]] = True
    stored = stored.select(first)
    if len(stored) < 3:
        raise NoImagesError(
            f"{options.descriptors} holds {counted(len(stored), 'different images')}",
            "calibrate on a hundred or more",
        )
    return stored


def _copies(
    stored: DescriptorSet,
    model: Model,
    scale: Scale,
    edits: tuple[Edit, ...],
    options: CalibrateOptions,
) -> NDArray[np.float32]:
    """Return the similarities of made copies to their originals, (images, edits)."""
    exif = stored.provenance.exif
    rows, refs, largest = _sample(stored, options, exif=exif)
    count, held = len(rows) * len(edits), held_bytes(largest)
    with stage("copies", count) as copies, model.on_all_cores(held) as each:
        return copy_similarities(
            lambda images: scale.apply(model.embed(images, strict=True)),
            LazyImages(refs, exif=exif),
            stored.descriptors[rows].astype(np.float32),
            edits=edits,
            seed=options.seed,
            bias=scale.bias,
            progress=copies.add,
            each=each,
        )


def _sample(
    stored: DescriptorSet, options: CalibrateOptions, *, exif: bool
) -> tuple[list[int], list[ImageRef], int]:
    """Choose images at random among those whose files are as they were when embedded.

    With them comes how many pixels the largest has.
    """
    largest = 0
    rows: list[int] = []
    refs: list[ImageRef] = []
    chosen = np.random.default_rng(options.seed).permutation(len(stored)).tolist()
    for row in each(chosen, "looking for images", min(options.sample, len(chosen))):
        if not is_as_embedded(stored, row):
            continue
        ref = stored_ref(stored.sources[row], stored.ids[row])
        try:
            image = load_image(ref, exif=exif)
        except SscdError:
            continue
        rows.append(row)
        refs.append(ref)
        largest = max(largest, image.width * image.height)
        if len(rows) == options.sample:
            break
    if len(rows) < 2:
        raise NoImagesError(
            f"of the images in {options.descriptors}, {len(rows)} are where they were embedded",
            "run sscd embed again where the images are",
        )
    return rows, refs, largest


def _known(
    stored: DescriptorSet,
    scale: Scale,
    copies_IE: NDArray[np.float32],
    weights: list[float],
    seed: int,
) -> Similarities:
    """Return the most similar pairs of the set: of some rows with all, where it is large."""
    images, (least, most) = len(stored), _ROWS
    count = min(images, max(least, min(most, PAIRS // images)))
    rows = np.sort(np.random.default_rng(seed).permutation(images)[:count])
    place = np.full(images, -1)
    place[rows] = np.arange(count)
    looked_at = count * (images - count) + count * (count - 1) // 2
    bias = scale.bias(stored.descriptors)
    bias = np.zeros(images, np.float32) if bias is None else bias
    floor = _floor(stored.descriptors, bias, rows, _SIMILAR_PAIRS / looked_at)
    with stage("comparing"):
        least = max(floor + bias.min(), -1.0)
        found = cross_pairs(stored.descriptors[rows], stored.descriptors, least)
    left, right = rows[found.left], found.right
    similarity = found.similarity - (bias[left] + bias[right]) / np.float32(2)
    # not itself, and of two rows one way only
    kept = (place[right] < found.left) & (similarity >= floor)
    return Similarities(
        images=images,
        pairs=looked_at,
        similarity=similarity[kept],
        left=left[kept],
        right=right[kept],
        copies=copies_IE,
        weights=np.array(weights),
    )


def _floor(
    descriptors_ND: NDArray[Any], bias_N: NDArray[np.float32], rows: NDArray[np.int64], share: float
) -> float:
    """Return a similarity that about `share` of the pairs reach, or one that all do."""
    if share >= 1:
        return float(-1.0 - bias_N.max())
    some = rows[:: max(1, len(rows) // _ROWS_OF_SAMPLE)]
    sample = similarity_matrix(descriptors_ND[some], descriptors_ND)
    sample -= (bias_N[some][:, None] + bias_N) / 2
    return float(np.quantile(sample, 1 - share))


def _write(found: Calibration, stored: DescriptorSet, scale: Scale, output: Path) -> Path | None:
    """Write the threshold down, if there is one, and return where."""
    if found.place is None:
        return None
    precision, recall = found.curve.at(found.place)
    CalibratedThreshold(
        threshold=float(found.curve.threshold[found.place]),
        provenance=stored.provenance,
        scale=str(scale),
        wanted_precision=found.wanted,
        precision=astuple(precision),
        recall=astuple(recall),
        images=found.images,
        copies_per_image=astuple(found.copies_per_image),
        date=date.today().isoformat(),
    ).save(output)
    return output


def _weigh(text: str) -> dict[Edit, float]:
    """Return how often each edit of the table is expected, from words as "crop=2,flip=0".

    A word names an edit with all its strengths, or "all"; later words overrule earlier ones.
    What has no word weighs 1, and what weighs 0 is left out. Raises: UsageError.
    """
    weights = dict.fromkeys(EDITS, 1.0)
    names = {edit.name for edit in EDITS}
    for word in filter(None, (word.strip() for word in text.split(","))):
        name, _, number = (part.strip() for part in word.partition("="))
        try:
            weight = float(number)
        except ValueError:
            weight = -1.0
        if not 0 <= weight < float("inf"):
            raise UsageError(f"--weights: no weight in {word!r}", "write words as crop=2,flip=0")
        if name not in {*names, "all"}:
            raise UsageError(
                f"--weights: unknown edit {name!r}", f"use all, {', '.join(sorted(names))}"
            )
        weights |= {edit: weight for edit in EDITS if name in (edit.name, "all")}
    chosen = {edit: weight for edit, weight in weights.items() if weight}
    if not chosen:
        raise UsageError("--weights leaves no edit", "give one a weight above 0")
    return chosen
