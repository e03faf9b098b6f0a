"""Pooled features, raw projections and stage maps of one network agree with its descriptors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from sscd_cli.choices import OUTPUT_KINDS
from sscd_cli.errors import UsageError
from sscd_cli.images.preprocess import RECIPES
from sscd_cli.models.catalogue.registry import BUNDLED_FILE, ModelSpec
from sscd_cli.models.load import Model
from sscd_cli.models.network import Network
from sscd_cli.models.runtime.torch_runtime import Runtime


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(3)
    network = Network("mini", 8)
    spec = ModelSpec("tiny", BUNDLED_FILE, "mini", 8, RECIPES["mini-160"], 0.75, "none", "0" * 64)
    return Model(spec, Runtime.of(network, torch.device("cpu"), "fp32"))


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    pixels = np.random.default_rng(1).integers(0, 256, (2, 50, 70, 3), np.uint8)
    return [Image.fromarray(image) for image in pixels]


def test_logits_normalised_are_the_descriptor(model: Model, images: list[Image.Image]) -> None:
    descriptors = model.embed(images)
    logits = model.embed(images, kind="logits")
    norms = np.linalg.norm(logits, axis=1, keepdims=True)
    assert np.abs(logits / norms - descriptors).max() < 1e-6
    assert np.abs(np.linalg.norm(descriptors, axis=1) - 1).max() < 1e-6


def test_logits_are_the_projection_of_the_embedding(
    model: Model, images: list[Image.Image]
) -> None:
    pooled = model.embed(images, kind="embedding")
    assert pooled.shape == (2, 320)
    fc = model.runtime.network.fc
    expected = pooled @ fc.weight.numpy().T + fc.bias.numpy()
    assert np.allclose(model.embed(images, kind="logits"), expected, atol=1e-5)


def test_the_embedding_is_the_cubic_mean_of_the_last_map(
    model: Model, images: list[Image.Image]
) -> None:
    last = model.detection_features(images)["stage4"].astype(np.float64)
    expected = np.cbrt((np.maximum(last, 1e-6) ** 3).mean(axis=(2, 3)))
    assert np.allclose(model.embed(images, kind="embedding"), expected, atol=1e-5)


def test_maps_have_the_strides_of_the_stages(model: Model, images: list[Image.Image]) -> None:
    shapes = {name: maps.shape for name, maps in model.detection_features(images).items()}
    assert shapes == {
        "stage1": (2, 32, 40, 40),
        "stage2": (2, 64, 20, 20),
        "stage3": (2, 160, 10, 10),
        "stage4": (2, 320, 5, 5),
    }


@pytest.mark.parametrize("kind", OUTPUT_KINDS)
def test_no_images_give_no_rows(model: Model, kind: str) -> None:
    assert len(model.embed([], kind=kind)) == 0  # type: ignore[arg-type]


def test_unknown_kinds_are_told(model: Model, images: list[Image.Image]) -> None:
    with pytest.raises(UsageError, match="descriptor, embedding, logits"):
        model.embed(images, kind="features")  # type: ignore[arg-type]
