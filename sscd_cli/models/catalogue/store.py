"""The models of this machine: list, pull, verify, remove. Prints nothing, loads no torch."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from pathlib import Path

from sscd_cli.errors import ModelError, UsageError, reason_of
from sscd_cli.images.preprocess import RECIPES, Recipe
from sscd_cli.models.catalogue.cache import (
    RECORDS,
    FirstDownload,
    file_digest,
    installed,
    models_folder,
    write_record,
)
from sscd_cli.models.catalogue.published import PUBLISHED, SPEEDS, UNKNOWN, Published, Source
from sscd_cli.models.catalogue.pull import ELSEWHERE, Download, DownloadProgress, download
from sscd_cli.models.catalogue.registry import (
    BUNDLED,
    BUNDLED_FILE,
    check_bundled,
    check_published,
    expected_digest,
    find_model,
    not_installed,
    unknown_model,
)
from sscd_cli.models.files.weights import inspect_weights


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """One line of `sscd models`. path: where it is installed, None if it is not.

    bytes: the size of that file, else what a pull would fetch to a percent. speed: "fast",
    "medium", "slow" or "slowest".
    """

    name: str
    path: Path | None
    bytes: int
    trunk: str
    dimensions: int
    speed: str
    trained_on: str
    augmentations: str
    preprocessing: Recipe
    threshold: float | None
    threshold_source: str
    licence: str
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A file that is what it must be. voucher: who says so, "published", "bundled" (it comes with
    sscd), "recorded" (at the first download on this machine), "first use" (recorded just now) or
    "nothing" (copied by hand)."""

    name: str
    path: Path
    bytes: int
    sha256: str
    voucher: str


def list_models() -> list[ModelEntry]:
    """Return the bundled model and every published one, installed or not."""
    bundled = [_bundled_entry()] if BUNDLED_FILE.is_file() else []
    return bundled + [_entry(model) for model in PUBLISHED.values()]


def _bundled_entry() -> ModelEntry:
    spec = find_model(BUNDLED)
    metadata = inspect_weights(BUNDLED_FILE).notes.get("sscd", {})
    training = metadata.get("training", {})
    return ModelEntry(
        name=BUNDLED,
        path=BUNDLED_FILE,
        bytes=BUNDLED_FILE.stat().st_size,
        trunk=spec.trunk,
        dimensions=spec.dimensions,
        speed=SPEEDS[spec.trunk],
        trained_on=str(metadata.get("data", training.get("data_note", UNKNOWN))),
        augmentations=str(training.get("augmentations", UNKNOWN)),
        preprocessing=spec.recipe,
        threshold=spec.threshold,
        threshold_source=spec.threshold_source,
        licence=spec.licence,
    )


def _entry(model: Published) -> ModelEntry:
    path = installed(model)
    return ModelEntry(
        name=model.name,
        path=path,
        bytes=path.stat().st_size if path else model.sources[0].about_bytes,
        trunk=model.trunk,
        dimensions=model.dimensions,
        speed=model.speed,
        trained_on=model.trained_on,
        augmentations=model.augmentations,
        preprocessing=RECIPES[model.recipe],
        threshold=model.threshold,
        threshold_source=model.threshold_source,
        licence=model.licence,
        sources=model.sources,
    )


def missing(name: str) -> Source | None:
    """Return the file that `pull(name)` would fetch, None if nothing needs to be pulled."""
    model = PUBLISHED.get(name)
    return None if model is None or model.package or installed(model) else model.sources[0]


def model_path(name: str) -> Path:
    """Return where an installed model lies. Raises ModelError: unknown, or not installed."""
    if name == BUNDLED:
        return BUNDLED_FILE
    model = _known(name)
    path = installed(model)
    if path is None:
        raise not_installed(model)
    return path


def pull(
    name: str,
    *,
    format: str | None = None,
    mirror: str | None = None,
    progress: DownloadProgress = lambda done, total: None,
    pause: float = 1.0,
) -> Verified:
    """Install a published model unless it is there, and verify it.

    format: one of the model's, the best for None. mirror: base address that has the files under
    their names, `SSCD_MIRROR` for None. progress: called with the bytes so far and in all.
    pause: seconds before a second attempt.
    Raises: ModelError: see `pull.download`; or the file is another network than its name says.
    UsageError: no such format.
    """
    if name == BUNDLED:
        return verify(name)
    model = _known(name)
    try:
        source = model.source(format)
    except KeyError as error:
        formats = ", ".join(source.format for source in model.sources)
        raise UsageError(f"{name} is not published as {format!r}", f"use {formats}") from error
    there = installed(model)
    if model.package and there is None:
        raise not_installed(model)
    if there is not None and format in (None, model_format(model, there)):
        return verify(name, there)
    return _pulled(model, source, address(source, mirror), progress, pause)


def model_format(model: Published, path: Path) -> str:
    """Return the published format of an installed file."""
    return next(source.format for source in model.sources if source.file == path.name)


def address(source: Source, mirror: str | None = None) -> str:
    """Return where a file is fetched from: the mirror, `SSCD_MIRROR` for None, or its publisher."""
    base = os.environ.get("SSCD_MIRROR", "") if mirror is None else mirror
    return f"{base.rstrip('/')}/{source.file}" if base else source.url


def _pulled(
    model: Published, source: Source, url: str, progress: DownloadProgress, pause: float
) -> Verified:
    expected, voucher = expected_digest(source)
    target = models_folder() / source.file
    job = Download(
        url=url,
        target=target,
        size=source.bytes,
        sha256=expected,
        most=2 * source.about_bytes,
        pause=pause,
    )
    try:
        digest = download(job, progress)
    except ModelError as error:
        by_hand = (
            f"or run `sscd models pull {model.name}` where there is a network and copy "
            f"{source.file} to {target.parent}"
        )
        if voucher == "recorded" and "expected file" in error.what:
            by_hand = f"or delete {target.with_name(RECORDS)} if you trust the new one"
        raise ModelError(error.what, f"{error.fix}; {by_hand}; {BUNDLED} works offline") from error
    return _accepted(model, target, digest, url)


def _accepted(model: Published, path: Path, digest: str, url: str) -> Verified:
    try:
        voucher = check_published(model, path, digest)
    except ModelError as error:
        path.unlink(missing_ok=True)
        what = f"{url} is not {model.name}: {error.what}"
        raise ModelError(what, f"{ELSEWHERE}; {BUNDLED} works offline") from error
    if voucher == "nothing":
        today = datetime.date.today().isoformat()
        write_record(path.name, FirstDownload(digest, path.stat().st_size, url, today))
        voucher = "first use"
    return _verified(model.name, path, digest, voucher)


def _verified(name: str, path: Path, digest: str, voucher: str) -> Verified:
    size = path.stat().st_size
    return Verified(name=name, path=path, bytes=size, sha256=digest, voucher=voucher)


def verify(name: str, path: Path | None = None) -> Verified:
    """Read an installed model and compare it with what is published or recorded.

    Raises: ModelError: unknown, not installed, damaged, or another file than it was.
    """
    path = path or model_path(name)
    digest = file_digest(path)
    if name == BUNDLED:
        check_bundled(digest)
        return _verified(name, path, digest, "bundled")
    return _verified(name, path, digest, check_published(_known(name), path, digest))


def remove(name: str) -> list[Path]:
    """Delete every file of a model from the cache, partial ones too; return what is gone.

    Recorded digests stay, so that a later pull is still checked.
    Raises: UsageError: it is the bundled model. ModelError: unknown, or cannot be deleted.
    """
    if name == BUNDLED:
        raise UsageError(f"{name} is part of sscd-cli", "name a model that was pulled")
    package = _known(name).package
    if package:
        raise UsageError(f"{name} is part of {package}", f"run `pip uninstall {package}`")
    folder = models_folder()
    endings = ("", ".part", ".part.etag")
    paths = [folder / f"{s.file}{end}" for s in _known(name).sources for end in endings]
    gone = [path for path in paths if path.is_file()]
    for path in gone:
        try:
            path.unlink()
        except OSError as error:
            raise ModelError(f"cannot delete {path}: {reason_of(error)}", "delete it") from error
    return gone


def _known(name: str) -> Published:
    if name not in PUBLISHED:
        raise unknown_model(name, f"one of {BUNDLED}, {', '.join(PUBLISHED)}")
    return PUBLISHED[name]
