"""`sscd embed`: from images to a descriptor dataset, going on where an earlier run stopped."""

from __future__ import annotations

import hashlib
import os
import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sscd_cli import __version__
from sscd_cli.errors import NoImagesError, UsageError
from sscd_cli.options import DECODES, OUTPUT_KINDS, Decode, EmbedOptions, OutputKind
from sscd_cli.tasks import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sscd_cli.descriptors.ledger import Known, Ledger
    from sscd_cli.descriptors.read import DescriptorSet
    from sscd_cli.descriptors.schema import Provenance, Row
    from sscd_cli.images.batches import Decoder
    from sscd_cli.images.batches import Row as ImageRow
    from sscd_cli.images.refs import ImageRef
    from sscd_cli.models.load import Model
    from sscd_cli.models.stream import Embedded


@dataclass
class EmbedResult:
    """What a run did, in images, and where its seconds went.

    `images` = `embedded` + `copies` + `unreadable` + `unchanged`. copies: files with the very
    bytes of another, which share its descriptor. unchanged: embedded by an earlier run. vanished:
    rows that `prune` dropped. seconds: of work, summed over the workers; `elapsed` is by the clock.
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
    elapsed: float = 0.0
    seconds: dict[str, float] = field(
        default_factory=lambda: {"read": 0.0, "decode": 0.0, "network": 0.0, "write": 0.0}
    )
    errors: list[tuple[str, str]] = field(default_factory=list)
    _seen: bytearray = field(default_factory=bytearray, repr=False)

    def note_seen(self, source: str, id: str) -> None:
        self._seen += _key(source, id)

    def saw(self, sources: Iterable[str], ids: Iterable[str]) -> NDArray[np.bool_]:
        """Return which of the named images this run came across, bool (N,).

        Compares 64-bit digests: 8 bytes an image, and one name in 10^12 taken for another.
        """
        import numpy as np

        keys = b"".join(map(_key, sources, ids))
        return np.isin(np.frombuffer(keys, np.uint64), np.frombuffer(self._seen, np.uint64))

    def narrow(self, stored: DescriptorSet) -> DescriptorSet:
        """Return only the images of a dataset that this run came across, readable or not."""
        failed = stored.unreadable
        seen = stored.select(self.saw(stored.sources, stored.ids))
        return replace(seen, unreadable=failed.select(self.saw(failed.sources, failed.ids)))


def _key(source: str, id: str) -> bytes:
    return hashlib.blake2b(os.fsencode(f"{source}\0{id}"), digest_size=8).digest()


SHOWN_ERRORS = 20
MOST_WORKERS = 256

Progress = Callable[[EmbedResult], None]


def run(options: EmbedOptions, progress: Progress = lambda result: None) -> EmbedResult:
    """Embed the images of `options.sources` that the dataset does not hold yet.

    `progress` is called after every batch with the same result, which grows. Interrupted by
    Ctrl-C, the rows so far are written before KeyboardInterrupt goes on.

    Raises: NoImagesError: the sources hold none. StoreError: the dataset cannot be written, or
        holds another model's descriptors. ModelError, UsageError: the model or device is not to
        be had. SscdError: a source cannot be read.
    """
    check(options)
    if options.cluster:
        from sscd_cli.embed_cluster import run_on_cluster

        return run_on_cluster(options, options.cluster, progress)
    from sscd_cli.descriptors.ledger import Ledger
    from sscd_cli.descriptors.write import ShardWriter
    from sscd_cli.models.cpu import keep_large_allocations
    from sscd_cli.models.load import load_model

    keep_large_allocations()
    if options.precision == "int8":
        _calibrate(options)
    model = load_model(options.model, device=options.device, precision=options.precision)
    provenance = provenance_of(
        model,
        exif=options.exif,
        dtype=options.dtype,
        kind=options.output_kind,
        decode=options.decode,
    )
    result = EmbedResult(
        options.descriptors, model.spec.name, str(model.runtime.device), model.runtime.precision
    )
    started = time.perf_counter()
    refs = images_of(options)
    writer = ShardWriter(
        options.descriptors,
        provenance,
        options.shard_rows,
        task=options.task,
        words=job_words(options),
    )
    with writer:
        ledger = Ledger(options.descriptors, provenance, options.task)
        drawn: set[bytes] = set()
        for some in _embedded(_changed(refs, ledger, result, drawn), model, options, ledger):
            rows = [row for row in _rows(some, ledger, result) if not ledger.knows_failure(row)]
            writing = time.perf_counter()
            ledger.note(rows, writer.add(rows))
            drawn.difference_update(_key(row.ref.source, row.ref.id) for row in some.rows)
            result.seconds["write"] += time.perf_counter() - writing
            result.elapsed = time.perf_counter() - started
            progress(result)
    if options.prune:
        result.vanished = prune_vanished(options.descriptors)
    result.elapsed = time.perf_counter() - started
    progress(result)
    return result


def _calibrate(options: EmbedOptions) -> None:
    """See to it that the model has an 8-bit trunk, made from some of the images to embed."""
    from itertools import islice
    from random import Random

    from sscd_cli.images.decode import Decoded
    from sscd_cli.models.int8 import IMAGES, calibrate, int8_file
    from sscd_cli.models.load import load_model

    model = load_model(options.model, device="cpu", precision="fp32")
    if int8_file(model.spec.weights_sha256):
        return
    if "-" in options.sources:
        raise UsageError("int8 is calibrated from a folder, not from a list", "name a folder first")
    if not model.spec.recipe.square:
        raise UsageError(f"{model.spec.name} takes images of many sizes", "use --precision auto")
    refs = list(islice(images_of(options), 10_000))
    Random(0).shuffle(refs)
    rows = decoder_of(options, model).__getitems__(refs[:IMAGES])
    if not any(isinstance(row, Decoded) for row in rows.rows):
        raise NoImagesError("no readable images to calibrate int8 with", "name a folder of images")
    (_, pixels), *_ = rows.groups
    calibrate(model.runtime.network, model.spec.weights_sha256, pixels)


def provenance_of(
    model: Model,
    *,
    exif: bool,
    dtype: str,
    kind: OutputKind = "descriptor",
    decode: Decode = "auto",
) -> Provenance:
    """Return what the footer of a shard says of what `model` puts out now."""
    import PIL

    from sscd_cli.descriptors.schema import Provenance
    from sscd_cli.models.outputs import width

    return Provenance(
        model=model.spec.name,
        weights_sha256=model.spec.weights_sha256,
        dimensions=width(model.runtime.network, kind),
        preprocessing=model.spec.recipe.chosen(exif, decode).as_dict(),
        dtype="float32" if dtype == "float32" else "float16",
        precision=model.runtime.precision,
        threshold=model.spec.threshold,
        output_kind=kind,
        tool_version=__version__,
        pillow_version=PIL.__version__,
    )


def check(options: EmbedOptions) -> None:
    for word, number in (
        ("batch-size", 1 if options.batch_size is None else options.batch_size),
        ("shard-rows", options.shard_rows),
        ("max-pixels", options.max_pixels),
        ("max-bytes", options.max_bytes),
    ):
        if number < 1:
            raise UsageError(f"--{word} {number} is too small", "use 1 or more")
        if number >= 1 << 48:
            raise UsageError(f"--{word} {number} is too large", "use a smaller number")
    if options.output_kind not in OUTPUT_KINDS:
        raise UsageError(
            f"unknown output kind {options.output_kind!r}", f"use one of {', '.join(OUTPUT_KINDS)}"
        )
    if options.decode not in DECODES:
        raise UsageError(
            f"unknown way to decode {options.decode!r}", f"use one of {', '.join(DECODES)}"
        )
    if options.workers is not None and not 0 <= options.workers <= MOST_WORKERS:
        raise UsageError(
            f"--workers {options.workers} is out of bounds", f"use 0 to {MOST_WORKERS}"
        )
    if options.prune and options.task:
        raise UsageError("--prune needs the whole dataset", "run it without --task at the end")


def images_of(options: EmbedOptions) -> Iterator[ImageRef]:
    """Return all images, after making sure that there is one: a writer would make the folder.

    Of a task, its images only, of which there may be none.
    """
    from itertools import chain

    from sscd_cli.images.columns import Columns
    from sscd_cli.images.sources import iter_images

    task = options.task or Task(1, 1)
    refs = iter_images(
        options.sources,
        stdin_null=options.null,
        include=options.include,
        exclude=options.exclude,
        columns=Columns(options.image_column, options.id_column),
        opens=task.holds,
    )
    if options.task:
        return (ref for ref in refs if ref.member is not None or task.holds(ref.source, ref.id))
    first = next(refs, None)
    if first is None:
        raise no_images(options.sources)
    return chain([first], refs)


def job_words(options: EmbedOptions) -> list[str]:
    """Return the command that the tasks of this job share, for who has to type it."""
    globs = [word for glob in options.include for word in ("--include", glob)]
    globs += [word for glob in options.exclude for word in ("--exclude", glob)]
    for word in ("image_column", "id_column"):
        if column := getattr(options, word):
            globs += [f"--{word.replace('_', '-')}", column]
    return ["sscd", "embed", *options.sources, *globs, "-d", str(options.descriptors)]


def no_images(sources: tuple[str, ...]) -> NoImagesError:
    from sscd_cli.descriptors.shards import shard_paths

    for source in sources:
        if source != "-" and shard_paths(Path(source)):
            what = f"{source} holds descriptors, not images"
            return NoImagesError(what, f"name it with -d {shlex.quote(source)}")
    named = "the list on stdin" if sources == ("-",) else ", ".join(sources)
    return NoImagesError(
        f"no images in {named}", "name a folder with images, or image files themselves"
    )


def _changed(
    refs: Iterable[ImageRef], ledger: Ledger, result: EmbedResult, drawn: set[bytes]
) -> Iterator[ImageRef]:
    """Leave out, and count, the images that the dataset holds as they are now.

    drawn: keys of the images that are on their way into the dataset.
    """
    from sscd_cli.images.read import stat_image

    for ref in refs:
        result.images += 1
        result.note_seen(ref.source, ref.id)
        if (key := _key(ref.source, ref.id)) in drawn:  # a list may name an image twice
            result.unchanged += 1
            continue
        try:
            status = stat_image(ref)
        except Exception:
            status = None  # decoding will say what is wrong
        if status and ledger.unchanged(ref.source, ref.id, status.mtime_ns, status.file_bytes):
            result.unchanged += 1
        else:
            drawn.add(key)
            yield ref


def decoder_of(
    options: EmbedOptions, model: Model, known: Callable[[bytes], bool] | None = None
) -> Decoder:
    """Return what decodes as the options and the model say."""
    from sscd_cli.images.batches import Decoder
    from sscd_cli.images.decode import Limits

    recipe = model.spec.recipe.chosen(options.exif, options.decode)
    return Decoder(recipe, Limits(options.max_pixels, options.max_bytes), known)


def _embedded(
    refs: Iterator[ImageRef], model: Model, options: EmbedOptions, ledger: Ledger
) -> Iterator[Embedded]:
    from sscd_cli.models.stream import default_batch, default_workers, embed_stream

    # threads see the ledger grow, processes what it held when they were forked
    known = ledger.holds if model.runtime.device.type == "cpu" else ledger.held
    return embed_stream(
        refs,
        model,
        decoder_of(options, model, known),
        batch_size=options.batch_size or default_batch(model),
        workers=default_workers(model) if options.workers is None else options.workers,
        kind=options.output_kind,
    )


def _rows(some: Embedded, ledger: Ledger, result: EmbedResult) -> list[Row]:
    """Lay out the rows of some images."""
    for phase, seconds in some.seconds.items():
        result.seconds[phase] += seconds
    by_content: dict[bytes, Known] = {}
    return [
        _row(image, some.descriptors.get(index), by_content, ledger, result)
        for index, image in enumerate(some.rows)
    ]


def _row(
    image: ImageRow,
    descriptor: NDArray[np.float32] | None,
    by_content: dict[bytes, Known],
    ledger: Ledger,
    result: EmbedResult,
) -> Row:
    """Turn one image of a batch into a row; a file's exact copy gets the same descriptor."""
    from sscd_cli.descriptors.ledger import Known
    from sscd_cli.descriptors.schema import Row
    from sscd_cli.images.decode import Decoded, Unreadable

    row = Row(
        image.ref.id,
        image.ref.source,
        file_bytes=image.file_bytes,
        mtime_ns=image.mtime_ns,
        content_hash=image.content_hash,
    )
    if isinstance(image, Unreadable):
        result.unreadable += 1
        if len(result.errors) < SHOWN_ERRORS:
            result.errors.append((image.ref.path, image.error))
        return replace(row, error=image.error)
    known = by_content.get(image.content_hash)
    if known is None and ledger.holds(image.content_hash):
        known = ledger.known(image.content_hash)
    if known is None:
        assert isinstance(image, Decoded)  # a `Copied` is one because the ledger holds it
        assert descriptor is not None
        known = Known(descriptor, image.width, image.height, image.format)
        result.embedded += 1
    else:
        result.copies += 1
    by_content[image.content_hash] = known
    return replace(row, **{field.name: getattr(known, field.name) for field in fields(known)})


def prune_vanished(folder: Path) -> int:
    from sscd_cli.descriptors.prune import prune
    from sscd_cli.images.read import still_there

    return prune(folder, lambda source, id: not still_there(source, id)).vanished
