"""What a job of embedding is, on one machine or many: its images, its decoder, its result."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sscd_cli.choices import SHOWN_ERRORS, Decode, OutputKind
from sscd_cli.descriptors.parts import division
from sscd_cli.descriptors.provenance import Provenance, difference
from sscd_cli.descriptors.prune import prune
from sscd_cli.descriptors.read import DescriptorSet
from sscd_cli.descriptors.schema import name_digest
from sscd_cli.descriptors.shards import dataset_at, shard_paths, shard_provenance
from sscd_cli.embedding.provenance import provenance_of
from sscd_cli.errors import NoImagesError, StoreError
from sscd_cli.images.refs import Columns, ImageRef, Survey, most_common
from sscd_cli.images.signatures import PDF
from sscd_cli.images.sources import iter_images
from sscd_cli.images.status import still_there
from sscd_cli.machines.tasks import Task
from sscd_cli.text import counted

if TYPE_CHECKING:
    from sscd_cli.embedding.stream import Decoder
    from sscd_cli.models.load import Model

_SEEN = 8  # bytes of a name's digest that are kept of each image


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

    def note_seen(self, name: bytes) -> None:
        """Remember that this run came across the image of a `name_digest`."""
        self._seen += name[:_SEEN]

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
        keys = b"".join(name[:_SEEN] for name in map(name_digest, sources, ids))
        return np.isin(np.frombuffer(keys, np.uint64), np.frombuffer(self._seen, np.uint64))

    def narrow(self, stored: DescriptorSet) -> DescriptorSet:
        """Return only the images of a dataset that this run came across, readable or not."""
        failed = stored.unreadable
        seen = stored.select(self.saw(stored.sources, stored.ids))
        return replace(seen, unreadable=failed.select(self.saw(failed.sources, failed.ids)))


EmbedProgress = Callable[[EmbedResult], None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Which images become rows of which dataset, and how; each field is an option of `sscd embed`.

    device: a single one, or several to divide the job among (see `tasks`). task: None is all of it.
    """

    sources: tuple[str, ...]
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    from0: bool
    image_column: str
    id_column: str
    descriptors: Path
    shard_rows: int
    prune: bool
    task: Task | None
    model: str
    recipe: str
    device: str
    precision: str
    exif: bool
    decode: Decode
    dtype: str
    output_kind: OutputKind
    max_pixels: int
    max_bytes: int
    batch_size: int | None
    workers: int | None

    def images(self, survey: Survey | None = None) -> Iterator[ImageRef]:
        """Return all images, after making sure that there is one: a writer would make the folder.

        Of a task, its images only, of which there may be none. survey: notes what is left out.
        """
        task, survey = self.task or Task(1, 1), survey or Survey()
        refs = self.named_images(survey, task.holds)
        if self.task:
            return refs
        some = list(islice(refs, 2))
        if not some:
            raise no_images(self.sources, survey)
        if len(some) == 1 and (fault := some[0].fault):
            raise fault.as_error(some[0].path)
        return chain(some, refs)

    def named_images(self, survey: Survey, opens: Callable[[str], bool]) -> Iterator[ImageRef]:
        """Name all images of the job, or of its task. opens: as for `iter_images`."""
        refs = iter_images(
            self.sources,
            from0=self.from0,
            include=self.include,
            exclude=self.exclude,
            columns=Columns(self.image_column, self.id_column),
            opens=opens,
            survey=survey,
        )
        task = self.task
        if task is None:
            return refs
        return (ref for ref in refs if _is_in_archive(ref) or task.holds(ref.source, ref.id))

    @property
    def command(self) -> list[str]:
        """The command that its tasks share, for who has to type it."""
        globs = [word for glob in self.include for word in ("--include", glob)]
        globs += [word for glob in self.exclude for word in ("--exclude", glob)]
        for word in ("image_column", "id_column"):
            if column := getattr(self, word):
                globs += [f"--{word.replace('_', '-')}", column]
        return ["sscd", "embed", *self.sources, *globs, "-d", str(self.descriptors)]

    @property
    def division(self) -> int | None:
        """Into how many tasks it was divided when it was begun."""
        return division(self.descriptors, self.command)

    def network(self) -> Model:
        """Load the network. Raises: as `load_model`."""
        from sscd_cli.models.load import load_model

        return load_model(
            self.model, device=self.device, precision=self.precision, recipe=self.recipe
        )

    def decoder(self, model: Model, known: Callable[[bytes], bool] | None = None) -> Decoder:
        """Return what decodes as the job and the model say."""
        from sscd_cli.embedding.stream import Decoder
        from sscd_cli.images.read import Limits

        recipe = model.spec.recipe.chosen(self.exif, self.decode)
        return Decoder(recipe, Limits(self.max_pixels, self.max_bytes), known)

    def provenance(self, model: Model) -> Provenance:
        """Return what the footer of its shards says of what `model` puts out.

        Where a GPU decodes large JPEG files it says so: "fast, nvJPEG".
        """
        made = provenance_of(
            model,
            exif=self.exif,
            dtype=self.dtype,
            kind=self.output_kind,
            decode=self.decode,
        )
        if model.runtime.lane is not None:
            from sscd_cli.embedding.on_gpu import decodes_jpegs

            if decodes_jpegs(model, model.spec.recipe.chosen(self.exif, self.decode)):
                made.preprocessing["decode"] += ", nvJPEG"
        return made

    def refuse_other_precision(self, made: Provenance) -> None:
        """Raise StoreError for a precision that was asked for and that stored descriptors lack.

        They can be compared, but what is stored would stay as it is. Ways to decode may be mixed:
        each shard says which was its own.
        Args: made: what the footer of a new shard would say. What cannot be compared is left to
        who writes it.
        """
        for path in shard_paths(self.descriptors)[:1]:
            there = shard_provenance(path)
            if difference(there, made):
                return
            if self.precision != "auto" and there.precision != made.precision:
                what = f"the descriptors in {self.descriptors} are {there.precision}, and stay so"
                fix = f"leave out --precision {self.precision}, or choose another folder with -d"
                raise StoreError(what, fix)


def _is_in_archive(ref: ImageRef) -> bool:
    """Whether the task that opened its archive, the only one, named an image."""
    return ref.member is not None or (ref.fault is not None and ref.fault.kind == "archive")


def no_images(sources: tuple[str, ...], survey: Survey) -> NoImagesError:
    """Return the error for sources without images, and what to name instead, or to install."""
    for source in sources:
        if source != "-" and dataset_at(source):
            what = f"{source} holds descriptors, not images"
            return NoImagesError(what, f"name it with -d {shlex.quote(source)}")
    named = "the list on stdin" if sources == ("-",) else ", ".join(sources)
    fix = "name a folder with images, or image files themselves"
    if survey.left_out[PDF]:
        files = counted(survey.left_out[PDF], "PDF files")
        fix = f"to read {files} there, pip install 'sscd-cli[pdf]'"
    others = f", but {most_common(survey.left_out)}" if survey.left_out else ""
    return NoImagesError(f"no images in {named}{others}", fix)


def drop_mended(result: EmbedResult) -> None:
    """Drop the rows that say of folders and archives that they cannot be read, where they can."""
    if result.mended:
        mended = set(result.mended)
        prune(result.folder, lambda source, id: not source and id in mended)


def prune_vanished(folder: Path) -> int:
    """Drop the rows of files that are gone; return how many."""
    return prune(folder, lambda source, id: not still_there(source, id)).vanished
