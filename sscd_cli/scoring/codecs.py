"""Post-processing as benchmarks name it: FAISS factories that end in an exact index."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast

from sscd_cli.choices import Transform
from sscd_cli.descriptors.read import DescriptorSet
from sscd_cli.errors import StoreError, UsageError
from sscd_cli.scoring.post import PostProcessing
from sscd_cli.scoring.scale import COSINE, Scale

_FORM = re.compile(r"(?:L2norm,)?(?:(PCAW?)([1-9]\d{0,5}),L2norm,)?Flat")
_TRANSFORMS = {"PCAW": "whiten", "PCA": "pca"}
_ROWS = 65_536


@dataclass(frozen=True)
class Codec:
    """`text` as given; transform is None where descriptors stay as they are."""

    text: str
    transform: Transform | None = None
    dimensions: int = 0

    @classmethod
    def parse(cls, text: str) -> Codec:
        """Read "Flat", "PCAW512,L2norm,Flat" (whitening) or "PCA512,L2norm,Flat" (centring).

        Raises: UsageError: another factory, or one whose results are not of unit length.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise UsageError(
                f"--codecs {text!r} is unknown",
                "use Flat, PCAW<D>,L2norm,Flat or PCA<D>,L2norm,Flat, with ';' between several",
            )
        if match[1] is None:
            return cls(text.strip())
        return cls(text.strip(), cast(Transform, _TRANSFORMS[match[1]]), int(match[2]))

    def fit(self, training: DescriptorSet | None) -> Scale:
        """Learn the codec from a training set; plain cosine where there is nothing to learn.

        Raises: StoreError: there is no training set, or it is too small. UsageError: descriptors
            have fewer dimensions than are asked for.
        """
        if self.transform is None:
            return COSINE
        if training is None:
            raise StoreError(f"{self.text} is learned from a training set", "name one")
        if self.dimensions > training.provenance.dimensions:
            what = f"--codecs {self.text} asks for more than {training.provenance.dimensions}"
            raise UsageError(f"{what} dimensions", "ask for as many or fewer")
        rows_TD = training.descriptors
        blocks = (rows_TD[start : start + _ROWS] for start in range(0, len(rows_TD), _ROWS))
        try:
            post = PostProcessing.fit(
                blocks,
                training.provenance,
                transform=self.transform,
                dimensions=self.dimensions,
                background=0,
            )
        except StoreError as error:
            fix = "give a larger training set, or use --codecs Flat"
            raise StoreError(f"{self.text}: {error.what}", fix) from error
        return Scale(post)
