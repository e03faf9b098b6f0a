"""The one folder where pulled models lie, and what was recorded of them."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from sscd_cli.errors import ModelError, SscdError, cannot_write, reason_of
from sscd_cli.models.catalogue.published import Published
from sscd_cli.storage.files import whole_file
from sscd_cli.storage.locks import lock
from sscd_cli.text import from_json

RECORDS = "digests.json"


@dataclass(frozen=True)
class FirstDownload:
    """What the first download of a file was like; later ones must equal it."""

    sha256: str
    bytes: int
    url: str
    date: str


def cache_folder() -> Path:
    """Return `SSCD_CACHE`, or the platform's folder for caches plus `sscd`; it need not exist.

    A "~" whose home nobody knows is a folder of that name.
    Raises: ModelError: nothing is named, and the user has no home.
    """
    named = os.environ.get("SSCD_CACHE")
    if named:
        return Path(os.path.expanduser(named)).absolute()  # noqa: PTH111  # that of Path raises
    if sys.platform == "darwin":
        return _home() / "Library" / "Caches" / "sscd"
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else _home() / ".cache") / "sscd"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a user without a name, as in a container, and no HOME
        raise ModelError("nobody knows your home folder", "set SSCD_CACHE to a folder") from None


def models_folder() -> Path:
    return cache_folder() / "models"


def installed(model: Published) -> Path | None:
    """Return the file of a published model in the cache or its package, the best format first."""
    folder = _package_folder(model.package) if model.package else models_folder()
    paths = (folder / source.file for source in model.sources)
    return next((path for path in paths if os.path.isfile(path)), None)  # noqa: PTH113  # no error


def _package_folder(package: str) -> Path:
    """Return where a package lies, of which nothing is run; a folder that is not if it is none."""
    found = find_spec(package.replace("-", "_"))
    places = found.submodule_search_locations if found else None
    return Path(places[0]) if places else models_folder() / package


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, read in blocks. Raises ModelError: it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        what = f"cannot read the model {path}: {reason_of(error)}"
        raise ModelError(what, "copy it again") from error


def read_records() -> dict[str, FirstDownload]:
    """Return what was recorded, by file name. Raises ModelError: the record is damaged."""
    path = models_folder() / RECORDS
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {reason_of(error)}", "delete it") from error
    try:
        return {file: FirstDownload(**entry) for file, entry in from_json(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is damaged", "delete it; digests are recorded anew") from error


def write_record(file: str, record: FirstDownload) -> None:
    """Record a file's first download, beside those of other files and other processes.

    Raises: ModelError: the record is damaged, or the folder cannot be written.
    """
    path = models_folder() / RECORDS
    with locked(path):
        records = read_records() | {file: record}
        table = {name: asdict(entry) for name, entry in sorted(records.items())}
        try:
            with whole_file(path) as out:
                out.write(json.dumps(table, indent=1).encode())
        except OSError as error:
            raise _unwritable(path.parent, error) from error


@contextmanager
def locked(target: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Be the only process that writes `target`, making its folder; `waiting` is called meanwhile.

    Raises: ModelError: the folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.with_name(f".{target.name}.lock").open("ab")
    except OSError as error:
        raise _unwritable(target.parent, error) from error
    with file:
        while lock(file) is False:
            waiting()
            time.sleep(0.1)
        yield


def _unwritable(folder: Path, error: OSError) -> SscdError:
    fix = "free some space or set SSCD_CACHE to another folder"
    return cannot_write(f"to {folder}", error, fix, ModelError)
