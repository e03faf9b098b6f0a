"""What a job of embedding is, on one machine or many: its images, its decoder, its result."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sscd_cli.choices import DECODES, OUTPUT_KINDS, check_word
from sscd_cli.descriptors.provenance import Provenance, difference
from sscd_cli.descriptors.prune import prune
from sscd_cli.descriptors.read import DescriptorSet
from sscd_cli.descriptors.shards import shard_paths, shard_provenance
from sscd_cli.embedding.provenance import provenance_of
from sscd_cli.errors import NoImagesError, StoreError, UnknownModelError, UsageError
from sscd_cli.images.columns import Columns
from sscd_cli.images.preprocess import recipe_of
from sscd_cli.images.read import still_there
from sscd_cli.images.refs import PDF, ImageRef
from sscd_cli.images.sources import iter_images
from sscd_cli.images.survey import Survey
from sscd_cli.machines.tasks import Task
from sscd_cli.options.embed import EmbedOptions
from sscd_cli.text import counted

if TYPE_CHECKING:
    from sscd_cli.embedding.loader import Decoder
    from sscd_cli.models.catalogue.registry import ModelSpec
    from sscd_cli.models.load import Model

SHOWN_ERRORS = 20


@dataclass
class EmbedResult:
    """What a run did, in images, and where its seconds went.

    `images` = `embedded` + `copies` + `unreadable` + `unchanged`. copies: files with the very
    bytes of another, which share its descriptor. unreadable: damaged ones of an earlier run, too.
    unchanged: embedded by an earlier run. vanished: rows that `prune` dropped. seconds: of work,
    summed over the workers. faults: folders, archives and lists that could not be read to their
    end, each an unreadable image; mended: those of an earlier run that could be now. survey: what
    the sources hold besides images. By the clock, `start` went into libraries and the model, then
    `elapsed` into the images.
    """

    folder: Path
    model: str
    device: str
    precision: str
    images: int = 0
    embedded: int = 0
    copies: int = 0
    unreadable: int = 0
    unchanged: int = 0
    vanished: int = 0
    start: float = 0.0
    elapsed: float = 0.0
    seconds: dict[str, float] = field(
        default_factory=lambda: {"read": 0.0, "decode": 0.0, "network": 0.0, "write": 0.0}
    )
    errors: list[tuple[str, str]] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    survey: Survey = field(default_factory=Survey)
    _seen: bytearray = field(default_factory=bytearray, repr=False)

    def note_seen(self, key: bytes) -> None:
        """Remember that this run came across the image of an `image_key`."""
        self._seen += key

    def note_unreadable(self, name: str, error: str) -> None:
        self.unreadable += 1
        if len(self.errors) < SHOWN_ERRORS:
            self.errors.append((name, error))

    def note_fault(self, name: str, error: str) -> None:
        self.unreadable += 1
        self.faults.append((name, error))

    def refuse_nothing(self) -> None:
        """Raise NoImagesError where there were images and none of them could be read."""
        if not self.images or self.unreadable < self.images:
            return
        path, reason = (self.errors or self.faults)[0]
        named = f"none of {counted(self.images, 'images')} can be read, such as {path}"
        what = f"cannot read {path}" if self.images == 1 else named
        raise NoImagesError(f"{what}: {reason}", "name images, or a folder that holds some")

    def saw(self, sources: Iterable[str], ids: Iterable[str]) -> NDArray[np.bool_]:
        """Return which of the named images this run came across, bool (N,).

        Compares 64-bit digests: 8 bytes an image, and one name in 10^12 taken for another.
        """
        keys = b"".join(map(image_key, sources, ids))
        return np.isin(np.frombuffer(keys, np.uint64), np.frombuffer(self._seen, np.uint64))

    def narrow(self, stored: DescriptorSet) -> DescriptorSet:
        """Return only the images of a dataset that this run came across, readable or not."""
        failed = stored.unreadable
        seen = stored.select(self.saw(stored.sources, stored.ids))
        return replace(seen, unreadable=failed.select(self.saw(failed.sources, failed.ids)))


def image_key(source: str, id: str) -> bytes:
    """Return 8 bytes that stand for an image's name."""
    return hashlib.blake2b(os.fsencode(f"{source}\0{id}"), digest_size=8).digest()


EmbedProgress = Callable[[EmbedResult], None]


def check(options: EmbedOptions) -> None:
    """Raise UsageError for an impossible option, before any work is done."""
    check_word("output kind", options.output_kind, OUTPUT_KINDS)
    check_word("way to decode", options.decode, DECODES)
    if options.prune and options.task:
        raise UsageError("--prune needs the whole dataset", "run it without --task at the end")


def images_of(options: EmbedOptions, survey: Survey | None = None) -> Iterator[ImageRef]:
    """Return all images, after making sure that there is one: a writer would make the folder.

    Of a task, its images only, of which there may be none. survey: notes what is left out.
    """
    task, survey = options.task or Task(1, 1), survey or Survey()
    refs = named_images(options, survey, task.holds)
    if options.task:
        return refs
    some = list(islice(refs, 2))
    if not some:
        raise no_images(options.sources, survey)
    if len(some) == 1 and (fault := some[0].fault):
        raise fault.as_error(some[0].path)
    return chain(some, refs)


def named_images(
    options: EmbedOptions, survey: Survey, opens: Callable[[str], bool]
) -> Iterator[ImageRef]:
    """Name all images of a job, or of its task. opens: as for `iter_images`."""
    refs = iter_images(
        options.sources,
        from0=options.from0,
        include=options.include,
        exclude=options.exclude,
        columns=Columns(options.image_column, options.id_column),
        opens=opens,
        survey=survey,
    )
    task = options.task
    if task is None:
        return refs
    return (ref for ref in refs if _is_in_archive(ref) or task.holds(ref.source, ref.id))


def _is_in_archive(ref: ImageRef) -> bool:
    """Whether the task that opened its archive, the only one, named an image."""
    return ref.member is not None or (ref.fault is not None and ref.fault.kind == "archive")


def refuse_other_precision(options: EmbedOptions, made: Provenance) -> None:
    """Raise StoreError for a precision that was asked for and that stored descriptors do not have.

    They can be compared, but what is stored would stay as it is. Ways to decode may be mixed: each
    shard says which was its own.
    Args: made: what the footer of a new shard would say. What cannot be compared is left to who
        writes it.
    """
    for path in shard_paths(options.descriptors)[:1]:
        there = shard_provenance(path)
        if difference(there, made):
            return
        if options.precision != "auto" and there.precision != made.precision:
            what = f"the descriptors in {options.descriptors} are {there.precision}, and stay so"
            fix = f"leave out --precision {options.precision}, or choose another folder with -d"
            raise StoreError(what, fix)


def job_command(options: EmbedOptions) -> list[str]:
    """Return the command that the tasks of this job share, for who has to type it."""
    globs = [word for glob in options.include for word in ("--include", glob)]
    globs += [word for glob in options.exclude for word in ("--exclude", glob)]
    for word in ("image_column", "id_column"):
        if column := getattr(options, word):
            globs += [f"--{word.replace('_', '-')}", column]
    return ["sscd", "embed", *options.sources, *globs, "-d", str(options.descriptors)]


def no_images(sources: tuple[str, ...], survey: Survey) -> NoImagesError:
    """Return the error for sources without images, and what to name instead, or to install."""
    for source in sources:
        if source != "-" and shard_paths(Path(source)):
            what = f"{source} holds descriptors, not images"
            return NoImagesError(what, f"name it with -d {shlex.quote(source)}")
    named = "the list on stdin" if sources == ("-",) else ", ".join(sources)
    fix = "name a folder with images, or image files themselves"
    if survey.left_out[PDF]:
        files = counted(survey.left_out[PDF], "PDF files")
        fix = f"to read {files} there, pip install 'sscd-cli[pdf]'"
    return NoImagesError(f"no images in {named}", fix)


def loaded_for(options: EmbedOptions) -> Model:
    """Load the network that a job names. Raises: as `load_model`."""
    from sscd_cli.models.load import load_model

    return load_model(
        options.model, device=options.device, precision=options.precision, recipe=options.recipe
    )


def decoder_of(
    options: EmbedOptions, model: Model, known: Callable[[bytes], bool] | None = None
) -> Decoder:
    """Return what decodes as the options and the model say."""
    from sscd_cli.embedding.loader import Decoder
    from sscd_cli.images.decode import Limits

    recipe = model.spec.recipe.chosen(options.exif, options.decode)
    return Decoder(recipe, Limits(options.max_pixels, options.max_bytes), known)


def model_of(
    stored: DescriptorSet, name: str | None, device: str, precision: str = "auto"
) -> Model:
    """Return the model that made some descriptors, by its own name where none is given.

    precision: "auto" is int8 for descriptors that were made so, which no other can be compared to.
    Raises: as `spec_of`.
    """
    from sscd_cli.models.load import load_model

    made_by = stored.provenance
    if precision == "auto" and made_by.precision == "int8":
        precision = "int8"
    with _same_weights(stored.folder, made_by, name) as check:
        model = load_model(name or made_by.model, device=device, precision=precision)
        check(model.spec)
    if model.spec.recipe_stated:
        return model
    recipe = recipe_of(str(made_by.preprocessing.get("name")))
    return replace(model, spec=replace(model.spec, recipe=recipe))


def spec_of(folder: Path, made_by: Provenance, name: str | None) -> ModelSpec:
    """Return what is known of the model that made some descriptors; its weights are not loaded.

    Raises: ModelError: there is none of that name. StoreError: it has other weights.
    """
    from sscd_cli.models.catalogue.registry import find_model

    with _same_weights(folder, made_by, name) as check:
        spec = find_model(name or made_by.model)
        check(spec)
    return spec


@contextmanager
def _same_weights(
    folder: Path, made_by: Provenance, name: str | None
) -> Iterator[Callable[[ModelSpec], None]]:
    """Yield what refuses a model with other weights; say of which descriptors none is known."""

    def check(spec: ModelSpec) -> None:
        if spec.weights_sha256 != made_by.weights_sha256:
            raise StoreError(
                f"{folder} was made by {made_by.model} with other weights "
                f"({made_by.weights_sha256[:12]}) than {spec.path}",
                "name the file of its model with --model",
            )

    try:
        yield check
    except UnknownModelError:
        if name:
            raise
        what = f"{folder} was made by {made_by.model}, which is a model of one's own"
        raise UsageError(what, "name its file with --model") from None


def provenance_for(options: EmbedOptions, model: Model) -> Provenance:
    """Return what the footer of a shard of this job says of what `model` puts out."""
    return provenance_of(
        model,
        exif=options.exif,
        dtype=options.dtype,
        kind=options.output_kind,
        decode=options.decode,
    )


def drop_mended(result: EmbedResult) -> None:
    """Drop the rows that say of folders and archives that they cannot be read, where they can."""
    if result.mended:
        mended = set(result.mended)
        prune(result.folder, lambda source, id: not source and id in mended)


def prune_vanished(folder: Path) -> int:
    """Drop the rows of files that are gone; return how many."""
    return prune(folder, lambda source, id: not still_there(source, id)).vanished
