"""The loop learns: a few dozen steps on 64 drawn pictures tell them apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from drawn_pictures import save_pictures
from small_training import training_of

from sscd_cli.edits import augmentations as augment
from sscd_cli.images.decode import load_image
from sscd_cli.models.network import Network
from sscd_cli.options.train import TrainOptions
from sscd_cli.training.loss import LossParts
from sscd_cli.training.views import Views, squashed

IMAGES, SIZE, EPOCHS = 64, 32, 18


def retrieved(network: Network, originals: torch.Tensor, views: torch.Tensor) -> float:
    """The share of views whose nearest original is their own."""
    network.eval()
    nearest = (network.embed(views) @ network.embed(originals).T).argmax(axis=1)
    return float((nearest == list(range(IMAGES))).mean())


def mild(size: int) -> augment.Augmentation:
    """Easy enough for a few dozen steps."""
    return augment.chain(augment.resized_crop(size, 0.7), augment.colour_jitter(0.3, 0.05))


def test_a_few_dozen_steps_tell_64_pictures_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(augment.AUGMENTATIONS, "advanced", mild)
    refs = save_pictures(tmp_path, IMAGES)
    options = TrainOptions(
        sources=(),
        output=tmp_path,
        trunk="mini",
        dimensions=32,
        augmentations="advanced",
        size=SIZE,
        epochs=EPOCHS,
        batch_size=IMAGES // 2,
        learning_rate=0.024,
        warmup_epochs=2,
        entropy_weight=1,
        workers=0,
    )
    training = training_of(options, refs)
    network = training.network
    originals = squashed([load_image(ref) for ref in refs], SIZE)
    unseen = Views(refs, mild(SIZE), seed=99)
    views = torch.stack([unseen[0, index][0][0] for index in range(IMAGES)])
    before = retrieved(network, originals, views)

    seen: list[LossParts] = []
    for _ in range(EPOCHS):
        training.run_epoch(lambda parts, rate: seen.append(parts))
    assert (training.epoch, training.step, len(seen)) == (EPOCHS, 2 * EPOCHS, 2 * EPOCHS)
    first, last = seen[0], seen[-1]
    assert last.total.item() < first.total.item() / 4
    assert last.positive - last.nearest_negative > 0.2 > first.positive - first.nearest_negative
    assert before < 0.75
    assert retrieved(network, originals, views) > 0.9
