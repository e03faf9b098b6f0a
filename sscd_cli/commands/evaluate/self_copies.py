"""`sscd eval self`: how well edited copies of one's own images are found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from PIL import Image

from sscd_cli.edits.named import EDITS
from sscd_cli.embedding.provenance import provenance_of
from sscd_cli.errors import NoImagesError, SscdError
from sscd_cli.evaluation.copies_report import CopiesReport
from sscd_cli.evaluation.self_copies import evaluate_copies
from sscd_cli.images.decode import load_image
from sscd_cli.images.refs import ImageRef
from sscd_cli.images.sources import iter_images
from sscd_cli.machines.hardware import keep_large_allocations
from sscd_cli.machines.stages import stage
from sscd_cli.models.load import load_model
from sscd_cli.options.evaluate import EvalSelfOptions
from sscd_cli.scoring.scale import Scale
from sscd_cli.text import counted


@dataclass(frozen=True)
class EvalSelfResult:
    """The scores of the copies, and what was evaluated on how many images.

    scale: of the scores, see `scoring.scale`. threshold: the model's own, None on a scale
    where it does not hold.
    """

    report: CopiesReport
    model: str
    precision: str
    scale: str
    threshold: float | None
    originals: int
    distractors: int
    unreadable: int


class LazyImages(Sequence["Image.Image"]):
    """RGB images that are decoded each time they are asked for, so that memory stays flat."""

    def __init__(self, refs: Sequence[ImageRef], *, exif: bool = True) -> None:
        self._refs = refs
        self._exif = exif

    def __len__(self) -> int:
        return len(self._refs)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return load_image(self._refs[index], exif=self._exif)


def run(options: EvalSelfOptions) -> EvalSelfResult:
    """Make copies of every image by every edit and search them among all images.

    Raises: NoImagesError: fewer than two readable images. ModelError, UsageError: as
        `load_model`. StoreError: the post-processing is unreadable or another model's.
    """
    keep_large_allocations()
    scale = Scale.load(options.post, options.score_norm)
    model = load_model(
        options.model, device=options.device, precision=options.precision, recipe=options.recipe
    )
    scale.provenance(provenance_of(model, exif=True, dtype="float32"))
    originals, torn = _readable(options.sources, options.limit)
    distractors, torn_too = _readable(options.distractors, None)
    if len(originals) < 2:
        raise NoImagesError(
            f"{counted(len(originals), 'readable images')} in {', '.join(options.sources)}",
            "name a folder with two or more",
        )
    total = len(originals) * (1 + len(EDITS)) + len(distractors)
    with stage("images", total) as embedded, model.on_all_cores() as each:
        report = evaluate_copies(
            lambda images: scale.apply(model.embed(images, strict=True)),
            LazyImages(originals),
            LazyImages(distractors),
            seed=options.seed,
            progress=embedded.add,
            bias=scale.bias,
            each=each,
        )
    return EvalSelfResult(
        report=report,
        model=model.spec.name,
        precision=model.runtime.precision,
        scale=str(scale),
        threshold=model.spec.threshold if scale.is_cosine else None,
        originals=len(originals),
        distractors=len(distractors),
        unreadable=torn + torn_too,
    )


def _readable(sources: Sequence[str], limit: int | None) -> tuple[list[ImageRef], int]:
    """Return the images that can be decoded, at most `limit`, and how many could not."""
    refs = list(islice(_sorted_out(iter_images(sources)), limit))
    good = [ref for ref, fine in refs if fine]
    return good, len(refs) - len(good)


def _sorted_out(refs: Iterator[ImageRef]) -> Iterator[tuple[ImageRef, bool]]:
    for ref in refs:
        try:
            load_image(ref)
        except SscdError:
            yield ref, False
        else:
            yield ref, True
