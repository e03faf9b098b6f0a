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
from sscd_cli.evaluation.self_copies import IMAGES_HELD, evaluate_copies
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
    originals, torn, largest = _readable(options.sources, options.limit)
    distractors, torn_too, largest_too = _readable(options.distractors, None)
    if len(originals) < 2:
        raise NoImagesError(
            f"{counted(len(originals), 'readable images')} in {', '.join(options.sources)}",
            "name a folder with two or more",
        )
    total = len(originals) * (1 + len(EDITS)) + len(distractors)
    held = held_bytes(max(largest, largest_too))
    with stage("images", total) as embedded, model.on_all_cores(held) as each:
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


def held_bytes(pixels: int) -> int:
    """Return what work on a photograph of so many pixels takes of memory, 4 bytes for each."""
    return IMAGES_HELD * 4 * pixels


def _readable(sources: Sequence[str], limit: int | None) -> tuple[list[ImageRef], int, int]:
    """Return the images that can be decoded, at most `limit`; how many cannot; the most pixels."""
    refs = list(islice(_with_pixels(iter_images(sources)), limit))
    good = [ref for ref, pixels in refs if pixels]
    return good, len(refs) - len(good), max((pixels for _, pixels in refs), default=0)


def _with_pixels(refs: Iterator[ImageRef]) -> Iterator[tuple[ImageRef, int]]:
    """Yield each image and how many pixels it has, 0 where it cannot be read."""
    for ref in refs:
        try:
            image = load_image(ref)
        except SscdError:
            yield ref, 0
        else:
            yield ref, image.width * image.height
