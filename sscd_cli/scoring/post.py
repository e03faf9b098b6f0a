"""Post-processing learned from a sample of images: `sscd fit` writes it, `--post` applies it.

    center    the sample's mean is subtracted
    pca       and the rest is turned to the sample's principal axes, of which the first E are kept
    whiten    and each of them is divided by the sample's standard deviation along it
    none      descriptors stay as they are: only the background below is of use

After each but `none`, descriptors are brought back to unit length. `whiten` and `pca` are what the
FAISS factories "PCAW<E>,L2norm" and "PCA<E>,L2norm" compute. The file also keeps a sample of the
descriptors, the background that score normalisation compares with (see `score_norm`).

Shape legend: N rows, D dimensions, E dimensions that are kept, B background rows.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sscd_cli.choices import TRANSFORMS, Transform
from sscd_cli.descriptors.provenance import Descriptor, Provenance, difference
from sscd_cli.errors import StoreError, UsageError, reason_of
from sscd_cli.scoring.moments import Moments, Sample, principal_axes, rank
from sscd_cli.storage.files import file_here, output_file
from sscd_cli.text import counted, from_json

Floats = npt.NDArray[np.float32]

_VERSION = 1
_ROWS = 1024  # transformed at once
_ROW_BITS = 22  # after the point, of a number in a row that is to be turned


@dataclass(frozen=True, eq=False)
class PostProcessing:
    """What was learned from a sample, and what the sample was.

    provenance: what made the sample's descriptors; only such descriptors can be post-processed.
    images: how many it was learned from. date: when, as YYYY-MM-DD. mean: float32 (D,).
    axes: float32 (E, D), scaled for `whiten`; (0, D) where the transform turns nothing.
    sample: (B, D) as stored, before the transform.
    """

    transform: Transform
    provenance: Provenance
    images: int
    date: str
    mean: Floats
    axes: Floats
    sample: Descriptor

    @classmethod
    def fit(
        cls,
        blocks: Iterable[npt.NDArray[Any]],
        provenance: Provenance,
        *,
        transform: Transform = "center",
        dimensions: int | None = None,
        background: int = 10_000,
        seed: int = 0,
    ) -> PostProcessing:
        """Learn from descriptors that come block by block, float16 or float32 (N, D) each.

        Args: provenance: what made them. dimensions: how many to keep, by default all. background:
            how many rows to keep at most for score normalisation, chosen by `seed`.
        Raises: UsageError: the transform cannot keep so many dimensions. StoreError: the sample
            is empty, or varies in fewer dimensions than are to be kept.
        Limits: memory is D² numbers, the background, and one block.
        """
        kept = _checked_dimensions(transform, dimensions, provenance.dimensions)
        moments, sample = Moments(provenance.dimensions), Sample(background, seed)
        for block in blocks:
            moments.add(block)
            sample.add(block)
        if not moments.count:
            raise StoreError("there is no readable image to learn from", "embed some first")
        return cls(
            transform=transform,
            provenance=provenance,
            images=moments.count,
            date=date.today().isoformat(),
            mean=moments.mean.astype(np.float32),
            axes=_axes(moments, transform, kept, provenance.dtype),
            sample=sample.rows,
        )

    @property
    def dimensions(self) -> int:
        """Length of a descriptor after it."""
        return len(self.axes) or self.provenance.dimensions

    @property
    def name(self) -> str:
        """What is applied, as a FAISS factory says it where there is one: "PCAW256,L2norm"."""
        if self.transform in ("none", "center"):
            return "none" if self.transform == "none" else "center,L2norm"
        return f"{'PCAW' if self.transform == 'whiten' else 'PCA'}{self.dimensions},L2norm"

    @cached_property
    def label(self) -> str | None:
        """What provenance says of descriptors after it: its name and a digest; None for `none`."""
        if self.transform == "none":
            return None
        return f"{self.name} {_digest(self.mean, self.axes)[:12]}"

    @cached_property
    def sample_digest(self) -> str:
        """12 hexadecimal digits that tell one background from another."""
        return _digest(self.sample)[:12]

    @cached_property
    def background(self) -> Floats:
        """The background after the transform, float32 (B, E)."""
        return self.apply(self.sample)

    def apply(self, descriptors_ND: npt.NDArray[Any]) -> Floats:
        """Transform descriptors; a row's result does not depend on the rows beside it.

        Returns: float32 (N, E) of unit length; a row that equals the mean becomes zero, as in
            FAISS. Libraries add the products of a matrix in an order that depends on its shape
            and on the processor. Sums of whole numbers that float64 holds are exact in any order:
            so rows and axes are rounded to such, to less than float32 loses in the sum.
        Limits: memory beside the result is a block of 1,024 rows.
        """
        if self.transform == "none":
            return np.asarray(descriptors_ND, np.float32)
        result = np.empty((len(descriptors_ND), self.dimensions), np.float32)
        for start in range(0, len(descriptors_ND), _ROWS):
            rows_RD = descriptors_ND[start : start + _ROWS] - self.mean
            turned_RE = self._turned(rows_RD) if len(self.axes) else rows_RD
            length_R = np.linalg.norm(turned_RE, axis=1, keepdims=True)
            length_R[length_R == 0] = 1
            result[start : start + len(turned_RE)] = turned_RE / length_R
        return result

    def _turned(self, rows_RD: Floats) -> npt.NDArray[np.float64]:
        """Return rows along the axes; entries of `rows_RD` lie between -2 and 2."""
        whole_ED, scale_E = self._whole_axes
        products_RE: npt.NDArray[np.float64] = np.rint(rows_RD * 2.0**_ROW_BITS) @ whole_ED.T
        return products_RE * (scale_E / 2.0**_ROW_BITS)

    @cached_property
    def _whole_axes(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the axes in whole numbers, (E, D), and what each of them counts in, (E,)."""
        bits = 52 - (_ROW_BITS + 1) - math.ceil(math.log2(self.provenance.dimensions))
        largest_E = np.abs(self.axes).max(axis=1).astype(np.float64)
        scale_E = 2.0 ** (np.ceil(np.log2(largest_E)) - bits)
        return np.rint(self.axes / scale_E[:, None]), scale_E

    def applied_to(self, provenance: Provenance) -> Provenance:
        """Return the provenance that descriptors of this one have after it.

        Their similarities are on another scale, so that the model's own threshold is gone.
        Raises: StoreError: they are not comparable with the sample's.
        """
        contrast = difference(self.provenance, provenance)
        if contrast:
            raise StoreError(
                f"the post-processing was fitted on other descriptors: {contrast}",
                "run sscd fit on descriptors of the same model, and name that file with --post",
            )
        if self.transform == "none":
            return replace(provenance, dtype="float32")
        return replace(
            provenance,
            dtype="float32",
            dimensions=self.dimensions,
            threshold=None,
            post=self.label,
        )

    def save(self, path: Path) -> None:
        """Write one safetensors file, complete or absent. Raises: SscdError: it cannot be."""
        from safetensors.numpy import save

        tensors = self._tensors()
        metadata = {
            "version": _VERSION,
            "transform": self.transform,
            "images": self.images,
            "date": self.date,
            "provenance": asdict(self.provenance),
            "digest": _digest(*tensors.values()),
        }
        payload = save(tensors, {"sscd_post": json.dumps(metadata, sort_keys=True)})
        with output_file(path) as file:
            file.write(payload)

    @classmethod
    def load(cls, path: Path) -> PostProcessing:
        """Read a file that `save` wrote; nothing in it is ever executed.

        Raises: StoreError: there is none, it is damaged, or it is something else.
        """
        from safetensors import SafetensorError

        try:
            path.open("rb").close()  # says more of a folder than the reader of safetensors does
            with file_here(path) as here:
                return _read(here)
        except FileNotFoundError:
            raise StoreError(f"there is no file {path}", "run sscd fit -o FILE first") from None
        except OSError as error:
            what = f"cannot read {path}: {reason_of(error)}"
            raise StoreError(what, "name a file that sscd fit wrote") from error
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            what = f"{path} is no post-processing of this version of sscd, or is damaged"
            raise StoreError(what, "run sscd fit again") from error

    def _tensors(self) -> dict[str, npt.NDArray[Any]]:
        return {"axes": self.axes, "background": self.sample, "mean": self.mean}


def _checked_dimensions(transform: Transform, wanted: int | None, there: int) -> int:
    """Return how many axes to keep: none where the transform turns nothing."""
    if transform in ("center", "none"):
        if wanted not in (None, there):
            what = f"--transform {transform} keeps all {there} dimensions"
            raise UsageError(what, "leave out --dimensions, or use whiten or pca")
        return 0
    kept = there if wanted is None else wanted
    if not 1 <= kept <= there:
        what = f"--dimensions {kept} does not fit descriptors of {there}"
        raise UsageError(what, f"use 1 to {there}")
    return kept


def _axes(moments: Moments, transform: Transform, kept: int, dtype: str) -> Floats:
    """Return the axes to keep, float32 (E, D), once the sample proves to vary along all of them.

    Source: FAISS PCAMatrix (eigen_power -0.5 or 0), up to the axes' signs; a factor common to all
    of them is lost in the normalisation that follows.
    """
    variance_D, axes_DD = principal_axes(moments.covariance)
    known, needed = rank(variance_D, dtype), max(1, kept) if transform != "none" else 0
    if known < needed:
        raise StoreError(
            f"the sample is too small or too alike: {counted(moments.count, 'images')} vary in "
            f"{known:,} dimensions, and {transform} needs {needed:,}",
            f"fit on {needed + 1:,} distinct images at the least"
            + (f", or use --dimensions {known}" if 0 < known < kept else ""),
        )
    axes = axes_DD[:kept]
    if transform == "whiten":
        axes = axes / np.sqrt(variance_D[:kept, None])
    return np.ascontiguousarray(axes, np.float32)


def _read(path: Path) -> PostProcessing:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        metadata = from_json((file.metadata() or {})["sscd_post"])
        tensors = {name: file.get_tensor(name) for name in ("axes", "background", "mean")}
    if metadata["version"] != _VERSION or metadata["digest"] != _digest(*tensors.values()):
        raise ValueError("another version, or changed since it was written")
    read = PostProcessing(
        transform=metadata["transform"],
        provenance=Provenance.from_json(json.dumps(metadata["provenance"]).encode()),
        images=metadata["images"],
        date=metadata["date"],
        mean=tensors["mean"],
        axes=tensors["axes"],
        sample=tensors["background"],
    )
    shapes = read.mean.shape, read.axes.shape[1:], read.sample.shape[1:]
    turns = read.transform in ("pca", "whiten")
    if read.transform not in TRANSFORMS or turns != bool(len(read.axes)):
        raise ValueError("its axes do not fit its transform")
    if set(shapes) != {(read.provenance.dimensions,)}:
        raise ValueError("its parts do not fit together")
    return read


def _digest(*arrays: npt.NDArray[Any]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
