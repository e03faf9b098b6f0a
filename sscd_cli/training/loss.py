"""The SSCD loss: InfoNCE plus the differential entropy of nearest negatives.

Shapes: N views on this rank, M views over all ranks (M = N on one rank), D dimensions.
Source: SSCD paper, equations 2 to 5; reference `sscd/train.py` (`SSCD.loss`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_PARTITION_FLOOR = math.log(1e-6)
_NO_NEGATIVE = -100.0


@dataclass(frozen=True)
class LossParts:
    """One step's loss, its two parts and what they look at (scalars; only `total` has a gradient).

    `total` = `infonce` + weight · `entropy`. `positive` is the mean similarity of positive pairs,
    `nearest_negative` the mean similarity of each view to its closest negative.
    With a teacher, `code` is the loss of telling the own code from others, `cosine` that to it.
    """

    total: Tensor
    infonce: Tensor
    entropy: Tensor
    positive: Tensor
    nearest_negative: Tensor
    code: Tensor | None = None
    cosine: Tensor | None = None


def sscd_loss(
    views_ND: Tensor,
    others_MD: Tensor,
    match_NM: Tensor,
    identity_NM: Tensor,
    *,
    temperature: float = 0.05,
    entropy_weight: float = 30.0,
    mean_over_positives: bool = False,
) -> LossParts:
    """Compute the loss of the views on this rank against the views of every rank.

    Args:
        views_ND, others_MD: float32 descriptors of unit length.
        match_NM: bool, true where two views share content, the view itself included.
        identity_NM: bool, true where row and column are the same view.
        mean_over_positives: average each row over its positives first, as the reference does for
            mixed images, which have varying numbers of them; without it rows are summed.
    """
    similarity = views_ND @ others_MD.T
    positive = match_NM & ~identity_NM
    logits = similarity / temperature
    negatives = logits.masked_fill(match_NM, -math.inf).logsumexp(dim=1, keepdim=True)
    negatives = torch.logaddexp(negatives, torch.full_like(negatives, _PARTITION_FLOOR))
    log_odds = F.softplus(negatives - logits) * positive
    infonce = log_odds.sum(dim=1)
    if mean_over_positives:
        infonce = infonce / positive.sum(dim=1)
    nearest = similarity.masked_fill(match_NM, _NO_NEGATIVE).amax(dim=1)
    entropy = -(2 - 2 * nearest).clamp(min=1e-6).sqrt().log().mean()
    return LossParts(
        total=infonce.mean() + entropy_weight * entropy,
        infonce=infonce.mean().detach(),
        entropy=entropy.detach(),
        positive=((similarity * positive).sum() / positive.sum()).detach(),
        nearest_negative=nearest.mean().detach(),
    )
