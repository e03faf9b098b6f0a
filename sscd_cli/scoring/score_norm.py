"""Score normalisation: how much nearer a match is than images that match nothing.

Some images resemble many others (a clear sky, a scanned page). A similarity is therefore lowered
by how similar its images are to a background of unrelated images. What results is no cosine: its
thresholds are on a scale of their own.

Source: SSCD paper, eq. 8; reference `sscd/disc_eval.py` (apply_score_norm).
Shape legend: Q queries, B background rows, E dimensions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sscd_cli.errors import UsageError

_FORM = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\[(\d{1,6})(?:,(\d{1,6}))?\]")
_BLOCK_BYTES = 64 << 20


@dataclass(frozen=True)
class ScoreNorm:
    """Subtract `weight` times the mean similarity to the neighbours `first` to `last`, from 0.

    Written as the reference does: "1.00[0,2]" takes the three nearest in full.
    """

    weight: float
    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> ScoreNorm:
        """Read "1.0[0,2]", or "1.0[0]" for one neighbour. Raises: UsageError."""
        match = _FORM.fullmatch(text.strip())
        weight, first, last = match.groups() if match else ("0", "0", "0")
        norm = cls(float(weight), int(first), int(last or first))
        if not match or norm.last < norm.first:
            raise UsageError(
                f"--score-norm {text!r} is no score normalisation",
                "write WEIGHT[FIRST,LAST], such as 1.0[0,2] for the three nearest neighbours",
            )
        return norm

    def __str__(self) -> str:
        return f"{self.weight:.2f}[{self.first},{self.last}]"

    def check(self, background: int) -> None:
        """Raise UsageError where there are fewer background images than neighbours to take."""
        if background <= self.last:
            raise UsageError(
                f"--score-norm {self} needs {self.last + 1} background images, and the "
                f"post-processing keeps {background}",
                "run sscd fit with a larger --background, on more images",
            )

    def bias(
        self, queries_QE: npt.NDArray[Any], background_BE: npt.NDArray[Any]
    ) -> npt.NDArray[np.float32]:
        """Return what to subtract from the similarities of each query, float32 (Q,).

        Both sides after the same post-processing. Memory beside the result: 64 MiB, or one row
        of B where that is more. Raises: UsageError: as `check`.
        """
        self.check(len(background_BE))
        background_EB = np.ascontiguousarray(background_BE.T, np.float32)
        rows = max(1, _BLOCK_BYTES // (4 * len(background_BE)))
        bias = np.empty(len(queries_QE), np.float32)
        for start in range(0, len(queries_QE), rows):
            queries = queries_QE[start : start + rows].astype(np.float32)
            bias[start : start + rows] = self._mean_of_nearest(queries @ background_EB)
        return bias * np.float32(self.weight)

    def _mean_of_nearest(self, similarity_QB: npt.NDArray[Any]) -> npt.NDArray[Any]:
        np.negative(similarity_QB, out=similarity_QB)
        similarity_QB.partition(self.last, axis=1)
        nearest = np.sort(similarity_QB[:, : self.last + 1], axis=1)
        mean: npt.NDArray[Any] = -nearest[:, self.first :].mean(axis=1)
        return mean
