"""`sscd eval disc`: the DISC2021 benchmark, on its images or on stored descriptors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sscd_cli.commands.evaluate.sets import read_set
from sscd_cli.descriptors.read import DescriptorSet, refuse_unlike
from sscd_cli.errors import SscdError, StoreError
from sscd_cli.evaluation import disc
from sscd_cli.evaluation.disc import DiscFigures, Truth
from sscd_cli.matching.candidates import Candidates, best_overall, nearest
from sscd_cli.options.evaluate import EvalDiscOptions
from sscd_cli.scoring.codecs import Codec
from sscd_cli.scoring.scale import Scale
from sscd_cli.scoring.score_norm import ScoreNorm

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class DiscRow:
    """The figures of one codec and one score normalisation; its name is "None" without one."""

    codec: str
    score_norm: str
    figures: DiscFigures


@dataclass(frozen=True)
class EvalDiscResult:
    """The rows, no score normalisation first, and on how many images they rest.

    positives: matches of the ground truth; absent: those of which an image is not there, which
    count as missed.
    """

    rows: tuple[DiscRow, ...]
    model: str
    queries: int
    references: int
    training: int
    positives: int
    absent: int
    unreadable: int


def run(options: EvalDiscOptions) -> EvalDiscResult:
    """Search every query among the references, with every codec and score normalisation.

    Raises: SscdError: a folder or the ground truth is missing or is something else. StoreError:
        the sets cannot be compared, or the training set is too small. UsageError: an option asks
        for something impossible. Otherwise as `embed`.
    Limits: memory is twice the sets as float32, 8.4 GB for the whole benchmark at 512 dimensions.
    """
    codecs = [Codec.parse(text) for text in options.codecs]
    norms = [ScoreNorm.parse(text) for text in options.score_norm]
    matches = disc.read_truth(options.path / options.truth)
    needs_training = bool(norms) or not codecs or any(codec.transform for codec in codecs)
    queries, references, training = _sets(options, needs_training)
    truth = disc.find_truth(
        matches,
        disc.rows_by_name(queries.ids, str(options.queries)),
        disc.rows_by_name(references.ids, str(options.references)),
    )
    if not codecs:
        whitening = f"PCAW{queries.provenance.dimensions},L2norm,Flat"
        codecs = [Codec.parse("Flat"), Codec.parse(whitening)]
    sets = (queries, references, training)
    scales = {codec.text: codec.fit(training) for codec in codecs}
    by_codec = _judge(scales, norms, sets, truth, options)
    return EvalDiscResult(
        rows=tuple(row for of_norm in zip(*by_codec, strict=True) for row in of_norm),
        model=queries.provenance.model,
        queries=len(queries),
        references=len(references),
        training=0 if training is None else len(training),
        positives=truth.positives,
        absent=truth.positives - len(truth.query),
        unreadable=sum(len(image_set.unreadable) for image_set in sets if image_set is not None),
    )


def _sets(
    options: EvalDiscOptions, needs_training: bool
) -> tuple[DescriptorSet, DescriptorSet, DescriptorSet | None]:
    """Read the three sets, the third only if something is learned from it."""

    def read(word: str, name: Path) -> DescriptorSet:
        fix = f"name it with --{word}, or the folder of the benchmark as PATH"
        return read_set(options.path / name, f"disc-{word}", options, fix=fix)

    queries = read("queries", options.queries)
    references = read("references", options.references)
    training = read("training", options.training) if needs_training else None
    for other in (references, training):
        if other is not None:
            refuse_unlike(queries, other)
    for name, image_set in ((options.queries, queries), (options.references, references)):
        if not len(image_set):
            raise SscdError(f"no image of {name} is readable", "give images that are")
    return queries, references, training


def _judge(
    scales: Mapping[str, Scale],
    norms: Sequence[ScoreNorm],
    sets: tuple[DescriptorSet, DescriptorSet, DescriptorSet | None],
    truth: Truth,
    options: EvalDiscOptions,
) -> Iterator[tuple[DiscRow, ...]]:
    """Yield the rows of each codec: without score normalisation, and with each of them."""
    query_set, reference_set, training_set = sets
    for text, scale in scales.items():
        queries = scale.apply(query_set.descriptors)
        references = scale.apply(reference_set.descriptors)
        offsets: list[Floats] = []
        if norms and training_set is not None:
            offsets = _offsets(queries, scale.apply(training_set.descriptors), norms)
        ranked = _rank(queries, references, offsets, options)
        names = ("None", *map(str, norms))
        yield tuple(
            DiscRow(text, name, disc.judge(found.query, found.reference, found.score, truth))
            for name, found in zip(names, ranked, strict=True)
        )


def _rank(
    queries_QE: Floats,
    references_RE: Floats,
    offsets: Sequence[Floats],
    options: EvalDiscOptions,
) -> Iterator[Candidates]:
    """Yield the candidates by similarity alone, and with each of the offsets of the queries."""
    if options.global_candidates:
        count = options.k * len(queries_QE)
        for offset_Q in (None, *offsets):
            yield best_overall(queries_QE, references_RE, count, offset_Q)
        return
    found = nearest(queries_QE, references_RE, options.k)
    yield found
    yield from map(found.shifted, offsets)


def _offsets(queries_QE: Floats, training_TE: Floats, norms: Sequence[ScoreNorm]) -> list[Floats]:
    """Return what each score normalisation adds to the scores of each query, float32 (Q,).

    What `ScoreNorm.bias` computes, but one search among all training images serves all of them.
    """
    depth = 1 + max(norm.last for norm in norms)
    if len(training_TE) < depth:
        what = (
            f"score normalisation needs {depth} training images, and there are {len(training_TE)}"
        )
        raise StoreError(what, "give more, or --score-norm ''")
    near_QK = nearest(queries_QE, training_TE, depth).score.reshape(-1, depth)
    return [-norm.weight * near_QK[:, norm.first : norm.last + 1].mean(axis=1) for norm in norms]
