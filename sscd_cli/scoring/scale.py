"""On which scale similarities are: a threshold holds on the one where it was found, and no other.

Shape legend: N rows, D dimensions, E dimensions after post-processing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sscd_cli.choices import PLAIN
from sscd_cli.descriptors.provenance import Provenance
from sscd_cli.errors import UsageError
from sscd_cli.scoring.post import PostProcessing
from sscd_cli.scoring.score_norm import ScoreNorm


@dataclass(frozen=True, eq=False)
class Scale:
    """What is done to descriptors before, and to their similarities after, they are compared."""

    post: PostProcessing | None = None
    norm: ScoreNorm | None = None

    @classmethod
    def load(cls, post: Path | None, score_norm: str | None) -> Scale:
        """Return what --post and --score-norm ask for.

        Raises: UsageError: a malformed normalisation, or one without a file that keeps the
            background which it needs. StoreError: the file cannot be read.
        """
        norm = ScoreNorm.parse(score_norm) if score_norm else None
        if norm and not post:
            raise UsageError(
                "--score-norm needs a background of other images",
                "run sscd fit DESCRIPTORS -o FILE on some, and add --post FILE",
            )
        learned = PostProcessing.load(post) if post else None
        if norm and learned:
            norm.check(len(learned.sample))
        return cls(learned, norm)

    def __str__(self) -> str:
        """Name the scale; the same name means that similarities can be compared."""
        text = PLAIN
        if self.post and self.post.label:
            text += f" after {self.post.label}"
        if self.post and self.norm:
            background = f"{len(self.post.sample):,} images {self.post.sample_digest}"
            text += f", normalised {self.norm} by {background}"
        return text

    @property
    def is_cosine(self) -> bool:
        """Whether similarities are cosines of the model's own descriptors."""
        return str(self) == PLAIN

    def provenance(self, made: Provenance) -> Provenance:
        """Return the provenance of descriptors that were just made, once they are on this scale.

        Raises: StoreError: the post-processing was learned from others than such.
        """
        return self.post.applied_to(made) if self.post else made

    def apply(self, rows_ND: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return descriptors that were just made as they are compared, float32 (N, E)."""
        return self.post.apply(rows_ND) if self.post else np.asarray(rows_ND, np.float32)

    def bias(self, rows_NE: npt.NDArray[Any]) -> npt.NDArray[np.float32] | None:
        """Return what normalisation takes from the similarities of each row, float32 (N,), or None.

        A query's bias is subtracted from its similarities to references. Between two rows of one
        set, neither of which is the query, it is the mean of both rows' biases.
        """
        if self.post is None or self.norm is None:
            return None
        return self.norm.bias(rows_NE, self.post.background)

    def in_background(self, rows_NE: npt.NDArray[Any]) -> int:
        """Count the rows that are, byte for byte, in the background that normalises them.

        Nearest to themselves, they are lowered more than they should be.
        """
        if self.post is None or self.norm is None:
            return 0
        known = {row.tobytes() for row in self.post.background}
        return sum(row.tobytes() in known for row in rows_NE)


COSINE = Scale()
