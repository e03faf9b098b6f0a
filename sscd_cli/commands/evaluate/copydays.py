"""`sscd eval copydays`: the Copydays benchmark, on its images or on stored descriptors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sscd_cli.commands.evaluate.sets import read_set
from sscd_cli.descriptors.read import DescriptorSet, refuse_unlike
from sscd_cli.errors import UsageError
from sscd_cli.evaluation import copydays as protocol
from sscd_cli.evaluation.copydays import Copydays, CopydaysFigures
from sscd_cli.matching.candidates import nearest
from sscd_cli.options.evaluate import EvalCopydaysOptions
from sscd_cli.scoring.codecs import Codec
from sscd_cli.scoring.scale import Scale


@dataclass(frozen=True)
class CopydaysRow:
    """The figures of one codec."""

    codec: str
    figures: CopydaysFigures


@dataclass(frozen=True)
class EvalCopydaysResult:
    """The rows in the order of the codecs, and on how many images they rest."""

    rows: tuple[CopydaysRow, ...]
    model: str
    queries: int
    originals: int
    distractors: int
    training: int
    unreadable: int


def run(options: EvalCopydaysOptions) -> EvalCopydaysResult:
    """Search every image of the folder among the originals and the distractors.

    Raises: SscdError: a folder is missing or is something else. StoreError: the sets cannot be
        compared, or a codec's training set is missing or too small. UsageError: an option asks
        for something impossible. Otherwise as `embed`.
    """
    codecs = [Codec.parse(text) for text in options.codecs]
    if not codecs:
        raise UsageError("--codecs names none", "use --codecs Flat")
    if options.training is None and any(codec.transform for codec in codecs):
        what = "a codec that is learned needs a training set"
        raise UsageError(what, "name one with --training, or use --codecs Flat")
    images, distractors, training = _sets(options)
    copydays = protocol.lay_out(images.ids)
    scales = {codec.text: codec.fit(training) for codec in codecs}
    return EvalCopydaysResult(
        rows=tuple(
            CopydaysRow(text, _judge(scale, copydays, images, distractors, options.k))
            for text, scale in scales.items()
        ),
        model=images.provenance.model,
        queries=len(images),
        originals=len(copydays.original),
        distractors=0 if distractors is None else len(distractors),
        training=0 if training is None else len(training),
        unreadable=sum(
            len(image_set.unreadable)
            for image_set in (images, distractors, training)
            if image_set is not None
        ),
    )


def _sets(
    options: EvalCopydaysOptions,
) -> tuple[DescriptorSet, DescriptorSet | None, DescriptorSet | None]:
    images = read_set(options.path, "copydays", options, fix="name another folder")
    distractors, training = (
        read_set(path, f"copydays-{word}", options, fix=f"name another with --{word}")
        if path
        else None
        for word, path in (("distractors", options.distractors), ("training", options.training))
    )
    for other in (distractors, training):
        if other is not None:
            refuse_unlike(images, other)
    return images, distractors, training


def _judge(
    scale: Scale,
    copydays: Copydays,
    images: DescriptorSet,
    distractors: DescriptorSet | None,
    k: int,
) -> CopydaysFigures:
    queries = scale.apply(images.descriptors)
    references = queries[copydays.original]
    if distractors is not None:
        others = scale.apply(distractors.descriptors)
        references = np.concatenate([references, others])
    found = nearest(queries, references, k)
    return protocol.judge(copydays, found.query, found.reference, found.score)
