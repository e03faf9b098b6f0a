"""A teacher's descriptors of the training images, and the loss that draws views to them.

A teacher is asked once for each whole image; what it says is kept as the image's code, and every
view of the image is drawn to it. Shapes: I training images, N views, B images of a batch, C codes
that a view is told from, D dimensions.
Source: Beyer et al., "Knowledge distillation: a good teacher is patient and consistent" (2022),
with fixed codes of whole images in place of the teacher's answer for each view.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sscd_cli.errors import SscdError
from sscd_cli.images.decode import Decoded, decode
from sscd_cli.images.refs import ImageRef
from sscd_cli.models.load import Model
from sscd_cli.storage.files import whole_file
from sscd_cli.text import from_json
from sscd_cli.training.log import writing

CODES, MADE_OF = "codes.npy", "codes.json"
MOST_CODES = 32_768  # that a view is told from in a step: many images need no more memory
_CHUNK = 64

Codes = NDArray[np.float16]


def teacher_codes(model: Model, refs: Sequence[ImageRef], folder: Path) -> Codes:
    """Return the teacher's descriptors of whole images, (I, D), kept in `folder`.

    What a stopped run has made already is not made again. An unreadable image has a row of zeros.
    Raises: SscdError: `folder` has the codes of another teacher or of other images; it is full.
    """
    made_of = {"teacher": model.spec.weights_sha256, "images": _digest(refs)}
    with writing(folder / CODES):
        codes = _kept(folder, (len(refs), model.runtime.width("descriptor")), made_of)
        missing = np.flatnonzero(np.isnan(codes[:, 0]))
        for start in range(0, len(missing), _CHUNK):
            rows = missing[start : start + _CHUNK]
            codes[rows] = _codes_of(model, [refs[row] for row in rows])
            codes.flush()
    return codes


def _kept(folder: Path, shape: tuple[int, int], made_of: dict[str, str]) -> np.memmap:  # type: ignore[type-arg]
    """Return the codes in `folder`, rows of NaN where they are still to be made."""
    path, about = folder / CODES, folder / MADE_OF
    folder.mkdir(parents=True, exist_ok=True)
    if about.exists():
        try:
            codes = np.lib.format.open_memmap(path, mode="r+")
            same = from_json(about.read_text(encoding="utf-8")) == made_of
        except (OSError, ValueError) as error:
            raise SscdError(f"{path} is damaged", f"delete it and {MADE_OF}") from error
        if not same or codes.shape != shape:
            what = f"{path} has the codes of another teacher or of other images"
            raise SscdError(what, "name the same ones, or another --output")
        return codes
    codes = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    codes[:] = np.nan
    codes.flush()
    with whole_file(about) as file:
        file.write(json.dumps(made_of).encode())
    return codes


def _digest(refs: Sequence[ImageRef]) -> str:
    return hashlib.sha256("\0".join(ref.id for ref in refs).encode("utf-8", "replace")).hexdigest()


def _codes_of(model: Model, refs: Sequence[ImageRef]) -> NDArray[np.float32]:
    found = [decode(ref, model.spec.recipe) for ref in refs]
    pixels = {
        row: image.pixels
        for row, image in enumerate(found)
        if isinstance(image, Decoded) and image.pixels is not None
    }
    rows = np.zeros((len(refs), model.runtime.width("descriptor")), np.float32)
    if pixels:
        rows[list(pixels)] = model.embed(list(pixels.values()), batch_size=8)
    return rows


class Teacher:
    """The codes of all training images, and the loss of views of some of them."""

    def __init__(self, codes_ID: Codes, temperature: float, seed: int) -> None:
        self.codes_ID, self.temperature, self.seed = codes_ID, temperature, seed

    def loss(
        self, views_ND: Tensor, content_NB: Tensor, shown_B: NDArray[np.int64], step: int
    ) -> tuple[Tensor, Tensor]:
        """Return the parts of the loss of views of the images `shown_B`, means over the views.

        They are that of telling the own code from others, and 1 - the cosine to it.

        content_NB: which share of a view shows which image of the batch; a view that shows none,
        with shares of zero, counts for nothing.
        """
        codes_CD = self._candidates(shown_B, step).to(views_ND.device)
        cosine_NC = views_ND.float() @ codes_CD.T
        shares_NB = content_NB.float().to(views_ND.device)
        shares_NB = shares_NB / shares_NB.sum(dim=1, keepdim=True).clamp(min=1e-6)
        images, seen = len(shown_B), (shares_NB.sum() + 1e-6)
        log_odds_NB = (cosine_NC / self.temperature).log_softmax(dim=1)[:, :images]
        code = -(shares_NB * log_odds_NB).sum() / seen
        distance = 1 - (shares_NB * cosine_NC[:, :images]).sum() / seen
        return code, distance

    def _candidates(self, shown_B: NDArray[np.int64], step: int) -> Tensor:
        """Return the codes of the batch's images, and those of others behind them."""
        others = np.arange(len(self.codes_ID))
        if len(others) > MOST_CODES:
            rng = np.random.default_rng((self.seed, step))
            others = rng.choice(len(others), MOST_CODES, replace=False)
        rows = np.concatenate([shown_B, np.setdiff1d(others, shown_B)])
        return F.normalize(torch.from_numpy(np.asarray(self.codes_ID[rows], np.float32)), dim=1)
