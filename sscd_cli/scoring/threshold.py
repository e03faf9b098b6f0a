"""The similarity from which a pair is a copy: a number, or what `sscd calibrate` found."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sscd_cli.choices import AUTO, check_threshold
from sscd_cli.descriptors.provenance import Provenance, difference
from sscd_cli.errors import SscdError, StoreError, UsageError, printable
from sscd_cli.scoring.scale import COSINE, Scale
from sscd_cli.storage.files import output_file
from sscd_cli.storage.places import place
from sscd_cli.text import from_json

_VERSION = 1


@dataclass(frozen=True)
class CalibratedThreshold:
    """A threshold, what it was found for, and what to expect of it.

    provenance: of the descriptors. scale: of their similarities, by its name. precision, recall,
    copies_per_image: the figure and its 95 % interval. images: how many compared images it holds
    for. date: when, as YYYY-MM-DD.
    """

    threshold: float
    provenance: Provenance
    scale: str
    wanted_precision: float
    precision: tuple[float, float, float]
    recall: tuple[float, float, float]
    images: int
    copies_per_image: tuple[float, float, float]
    date: str

    def save(self, path: Path) -> None:
        """Write a JSON file that is complete or absent. Raises: SscdError: it cannot be."""
        text = json.dumps({"version": _VERSION, **asdict(self)}, indent=2, sort_keys=True)
        with output_file(path) as file:
            file.write(f"{text}\n".encode())

    @classmethod
    def load(cls, path: Path) -> CalibratedThreshold:
        """Read what `save` wrote. Raises: StoreError: it is something else, or cannot be read."""
        try:
            stored: dict[str, Any] = from_json(path.read_bytes())
            if stored.pop("version") != _VERSION:
                raise ValueError("it is of another version of sscd")
            made_by = Provenance.from_json(json.dumps(stored.pop("provenance")).encode())
            found = cls(provenance=made_by, **stored)
            check_threshold(float(found.threshold))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            what = f"{path} is no threshold of sscd calibrate: {printable(str(reason))}"
            raise StoreError(what, "run sscd calibrate, or name a number") from error
        return found


def resolve(
    threshold: float | str | None, provenance: Provenance, folder: Path, scale: Scale = COSINE
) -> float:
    """Return the threshold to compare descriptors at.

    Args: threshold: a number; the path of a file of `sscd calibrate`, or "auto" for the one in
        `folder`, where the descriptors are; or None for the model's own, which is one of plain
        cosine.
    Raises: UsageError: there is no such file, or none was given for another scale. StoreError:
        the file is of other descriptors than these, or of another scale.
    """
    if path := calibrated_file(threshold, folder):
        return _calibrated(path, provenance, scale)
    refuse_default(threshold, scale)
    chosen = provenance.threshold if threshold is None else threshold
    if chosen is None:
        raise unmeasured(provenance.model)
    return float(chosen)


def threshold_path(descriptors: Path) -> Path:
    """Return where the threshold lies that "auto" stands for."""
    return descriptors / "threshold.json"


def calibrated_file(threshold: float | str | None, descriptors: Path) -> Path | None:
    """Return the file that a threshold names, None for a number or the model's own.

    Raises: SscdError: there is no such file. UsageError: a number that is no cosine similarity.
    """
    check_threshold(threshold)
    if not isinstance(threshold, str):
        return None
    path = threshold_path(descriptors) if threshold == AUTO else place(threshold)
    if path.is_file():
        return path
    if threshold == AUTO:
        what = f"--threshold auto: nothing was calibrated in {path.parent}"
        raise SscdError(what, "run sscd calibrate first, or name a number from -1 to 1")
    if path.suffix or path.name != threshold:
        what = f"--threshold {threshold}: there is no such file"
        raise SscdError(what, "name one that sscd calibrate wrote")
    what = f"--threshold {threshold} is neither a number nor auto nor a file"
    raise UsageError(what, "use a number from -1 to 1")


def unmeasured(model: str) -> UsageError:
    """Return the error for a model of which nobody knows what similarity makes a copy."""
    what = f"no threshold was measured for the model {model}"
    return UsageError(what, "name one with -t, or run sscd calibrate and use -t auto")


def look_at(threshold: float | str | None, provenance: Provenance, resolved: float) -> float:
    """Return the similarity from which a pair deserves a look: below it only by the model's word.

    Args: threshold, provenance: as for `resolve`, which returned `resolved`.
    """
    if threshold is not None or provenance.look_at is None:
        return resolved
    return min(provenance.look_at, resolved)


def sure_from(
    resolved: float, provenance: Provenance, *, believed: bool, scale: Scale = COSINE
) -> float:
    """Return the similarity from which a pair is a copy unless its pixels say it is another shot.

    That is the model's own threshold, or a higher one. A pair below it that is found all the same
    is a copy only if its pixels confirm it.

    Args: resolved: what `resolve` returned. believed: that one is right, as a calibrated one is.
    """
    if believed or provenance.threshold is None or not scale.is_cosine:
        return resolved
    return max(resolved, provenance.threshold)


def refuse_default(threshold: float | str | None, scale: Scale) -> None:
    """Raise UsageError where the model's own threshold would be used on another scale."""
    if threshold is None and not scale.is_cosine:
        raise UsageError(
            "the model's own threshold is one of plain cosine, and --post and --score-norm put "
            "similarities on another scale",
            "name one of that scale with --threshold",
        )


def calibrated_images(threshold: float | str | None, folder: Path) -> int | None:
    """Return for how many compared images a threshold was calibrated, None where it was not."""
    path = calibrated_file(threshold, folder)
    return CalibratedThreshold.load(path).images if path else None


def _calibrated(path: Path, provenance: Provenance, scale: Scale) -> float:
    found = CalibratedThreshold.load(path)
    contrast = difference(found.provenance, provenance)
    if not contrast and found.scale != str(scale):
        contrast = f"{found.scale} against {scale}"
    if contrast:
        what = f"{path} was calibrated for other descriptors: {contrast}"
        raise StoreError(what, "run sscd calibrate for these")
    return found.threshold
