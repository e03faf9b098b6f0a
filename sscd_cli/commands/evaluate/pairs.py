"""`sscd eval pairs`: how well known copies are told from other pairs, at every threshold."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sscd_cli.choices import PLAIN
from sscd_cli.descriptors.provenance import Descriptor, Provenance
from sscd_cli.descriptors.read import DescriptorSet, image_path, read_comparable
from sscd_cli.errors import SscdError
from sscd_cli.evaluation import pair_plot
from sscd_cli.evaluation.pair_plot import check_plots
from sscd_cli.evaluation.pair_report import PairReport, Point
from sscd_cli.evaluation.pair_truth import (
    ImageNames,
    PairTruth,
    TruthPair,
    find_images,
    read_truth,
)
from sscd_cli.matching.candidates import best_within
from sscd_cli.matching.forest import labels
from sscd_cli.matching.join import similarities
from sscd_cli.options.evaluate import EvalPairsOptions
from sscd_cli.scoring.scale import Scale
from sscd_cli.scoring.threshold import calibrated_file, resolve
from sscd_cli.text import counted

Floats = NDArray[np.float32]
KnownPairs = dict[tuple[int, int], TruthPair]

MOST_PAIRS = 1_000_000  # of a dataset; those that score less count as not found


@dataclass(frozen=True)
class EvalPairsResult:
    """The report, and on what it rests.

    chosen, chosen_by: the threshold that is looked at, and where it comes from. images: with a
    descriptor. left_out: pairs of the table with an unreadable image. grouped: whether the table
    has groups. scale: on which similarities are, see `scoring.scale`.
    """

    report: PairReport
    chosen: Point
    chosen_by: str
    model: str
    scale: str
    images: int
    left_out: int
    grouped: bool


def run(options: EvalPairsOptions) -> EvalPairsResult:
    """Score the pairs of a table, or, where it has no labels, all pairs of the dataset.

    Without a threshold the model's own is looked at, and on another scale than plain cosine that
    of the best F1.

    Raises: SscdError: the table is not as it should be, or names no image, several or one twice.
        StoreError: there are no descriptors, or the post-processing or the threshold is not for
        them. UsageError: an impossible threshold, or a picture that cannot be drawn.
    """
    calibrated_file(options.threshold, options.descriptors)
    if options.plot:
        check_plots([path.suffix for path in options.plot])
    truth = read_truth(options.truth)
    scale = Scale.load(options.post, options.score_norm)
    stored = read_comparable(options.descriptors, columns=(), post=scale.post)
    known, left_out = _known(truth, stored, options)
    bias = scale.bias(stored.descriptors)
    score = _score_listed if truth.labelled else _score_all
    report = score(known, stored.descriptors, bias)
    chosen, chosen_by = _chosen(report, stored.provenance, scale, options)
    return EvalPairsResult(
        report=report,
        chosen=chosen,
        chosen_by=chosen_by,
        model=stored.provenance.model,
        scale=str(scale),
        images=len(stored),
        left_out=left_out,
        grouped=truth.grouped,
    )


def _chosen(
    report: PairReport, provenance: Provenance, scale: Scale, options: EvalPairsOptions
) -> tuple[Point, str]:
    """Return the point that is looked at, and what its threshold is."""
    if options.threshold is None and (not scale.is_cosine or provenance.threshold is None):
        return report.best_f1, "best F1"
    threshold = resolve(options.threshold, provenance, options.descriptors, scale)
    named = "given" if isinstance(options.threshold, float) else "calibrated"
    if options.threshold is None:
        named = f"of {provenance.model}"
    return report.at(threshold), named


def draw(result: EvalPairsResult, path: Path) -> bytes:
    """Return a picture of the curve in the format of a file's name, .png or .svg."""
    title = (
        f"{result.model}, {counted(result.report.copies, 'copies')} among {result.images:,} images"
    )
    if result.scale != PLAIN:
        title += f"\n{result.scale}"
    return pair_plot.draw(
        result.report,
        result.chosen,
        result.chosen_by,
        title=title,
        format=path.suffix.lower().removeprefix("."),
    )


def _known(
    truth: PairTruth, stored: DescriptorSet, options: EvalPairsOptions
) -> tuple[KnownPairs, int]:
    """Return the pairs of readable images by their rows, smaller first, and how many have others.

    Raises: SscdError: a pair is labelled both ways, or no copy is of readable images.
    """
    failed = stored.unreadable
    ids, sources = [*stored.ids, *failed.ids], [*stored.sources, *failed.sources]
    paths = list(map(image_path, sources, ids))
    images = find_images(truth, ImageNames(ids, paths), str(options.descriptors))
    known: KnownPairs = {}
    left_out = 0
    for pair, rows in zip(truth.pairs, images, strict=True):
        left, right = sorted(rows)
        if right >= len(stored):
            left_out += 1
        elif known.setdefault((left, right), pair).is_copy != pair.is_copy:
            what = f"line {pair.line} of {options.truth} labels {pair.left} and {pair.right} again"
            raise SscdError(what, "leave one of the lines out")
    if not any(pair.is_copy for pair in known.values()):
        raise SscdError(f"no copies of {options.truth} are readable", "embed them again")
    return known, left_out


def _score_listed(
    known: KnownPairs, descriptors_ND: Descriptor, bias_N: Floats | None
) -> PairReport:
    """Score the pairs of the table alone."""
    left, right = np.array(list(known), np.int64).T
    scores = similarities(descriptors_ND, left, descriptors_ND, right)
    if bias_N is not None:
        scores = scores - (bias_N[left] + bias_N[right]) / 2
    is_copy = np.array([pair.is_copy for pair in known.values()])
    group = np.array([pair.group for pair in known.values()])
    return _report(known, scores, is_copy, group, labelled=True)


def _score_all(known: KnownPairs, descriptors_ND: Descriptor, bias_N: Floats | None) -> PairReport:
    """Score the most similar pairs of the dataset, of which the table lists the copies."""
    found = best_within(descriptors_ND, MOST_PAIRS, None if bias_N is None else -bias_N)
    rows = len(descriptors_ND)
    left, right = np.array(list(known), np.int64).T
    key_K = left * rows + right
    order = np.argsort(key_K)
    key = found.query * rows + found.reference
    place = order[np.minimum(np.searchsorted(key_K[order], key), len(key_K) - 1)]
    is_copy = key_K[place] == key
    component = labels(rows, left, right)
    counts = is_copy | (component[found.query] != component[found.reference])
    group = np.where(is_copy, np.array([pair.group for pair in known.values()])[place], "")
    if not is_copy.any():
        what = f"no copy is among the {MOST_PAIRS:,} most similar pairs"
        raise SscdError(what, "check that the table and the descriptors belong together")
    return _report(known, found.score[counts], is_copy[counts], group[counts], labelled=False)


def _report(
    known: KnownPairs,
    scores: Floats,
    is_copy: NDArray[np.bool_],
    group: NDArray[np.str_],
    *,
    labelled: bool,
) -> PairReport:
    copies = Counter(pair.group for pair in known.values() if pair.is_copy)
    return PairReport(
        scores=scores,
        is_copy=is_copy,
        group=group,
        copies_of_group={pair.group: copies[pair.group] for pair in known.values()},
        labelled=labelled,
    )
