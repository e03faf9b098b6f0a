"""The network: torchvision's tensors by name, GeM by definition, unit descriptors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sscd_cli.images.preprocess import IMAGENET_MEAN, IMAGENET_STD
from sscd_cli.models.network import Network, gem
from sscd_cli.models.trunks import TRUNKS

# tensors with num_batches_tracked, and torchvision's published count of weights for 1,000 classes
PUBLISHED = {
    "resnet18": (122, 11_689_512),
    "resnet50": (320, 25_557_032),
    "resnext101_32x4d": (626, 44_177_704),
}


def bare(trunk: str, dimensions: int) -> Network:
    with torch.device("meta"):
        return Network(trunk, dimensions)


@pytest.fixture(scope="module")
def mini() -> Network:
    torch.manual_seed(0)
    return Network("mini", 24).eval()


def pixels(*shape: int) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)


@pytest.mark.parametrize("trunk", PUBLISHED)
def test_trunks_have_the_published_number_of_tensors_and_weights(trunk: str) -> None:
    network = bare(trunk, 1000)
    tensors, weights = PUBLISHED[trunk]
    assert len(network.state_dict()) == tensors
    assert sum(parameter.numel() for parameter in network.parameters()) == weights


@pytest.mark.parametrize(
    ("trunk", "name", "shape"),
    [
        ("resnet18", "conv1.weight", (64, 3, 7, 7)),
        ("resnet18", "layer2.0.downsample.0.weight", (128, 64, 1, 1)),
        ("resnet18", "layer4.1.bn2.running_var", (512,)),
        ("resnet18", "fc.weight", (512, 512)),
        ("resnet50", "bn1.num_batches_tracked", ()),
        ("resnet50", "layer1.0.downsample.1.running_mean", (256,)),
        ("resnet50", "layer1.0.conv2.weight", (64, 64, 3, 3)),
        ("resnet50", "layer3.5.conv3.weight", (1024, 256, 1, 1)),
        ("resnet50", "fc.bias", (512,)),
        ("resnext101_32x4d", "layer1.0.conv2.weight", (128, 4, 3, 3)),
        ("resnext101_32x4d", "layer3.22.bn3.weight", (1024,)),
        ("resnext101_32x4d", "fc.weight", (512, 2048)),
        ("efficientnet_lite0", "layer1.0.conv1.weight", (32, 1, 3, 3)),
        ("efficientnet_lite0", "layer3.3.conv2.weight", (480, 1, 5, 5)),
        ("efficientnet_lite0", "layer4.5.conv1.weight", (1280, 320, 1, 1)),
    ],
)
def test_tensors_have_torchvisions_names_and_shapes(
    trunk: str, name: str, shape: tuple[int, ...]
) -> None:
    assert tuple(bare(trunk, 512).state_dict()[name].shape) == shape


def test_the_stride_of_a_bottleneck_is_on_its_3x3_convolution() -> None:
    block = bare("resnet50", 8).layer2[0]
    assert (block.conv1.stride, block.conv2.stride) == ((1, 1), (2, 2))


def test_an_unknown_trunk_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        Network("resnet19", 8)


@pytest.mark.parametrize("trunk", TRUNKS)
def test_every_trunk_has_the_channels_it_says(trunk: str) -> None:
    maps = bare(trunk, 8).features(torch.zeros(1, 3, 64, 64, device="meta"))
    assert tuple(maps.shape) == (1, TRUNKS[trunk].channels, 2, 2)


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (33, 50)])
def test_descriptors_have_unit_length_whatever_the_size(
    mini: Network, size: tuple[int, int]
) -> None:
    descriptors = mini(pixels(3, 3, *size))
    assert descriptors.shape == (3, 24)
    assert descriptors.dtype == torch.float32
    torch.testing.assert_close(descriptors.norm(dim=1), torch.ones(3))


def test_gem_is_the_root_of_the_mean_of_powers() -> None:
    maps = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0)).double()
    pooled = gem(maps)
    for image, channel in np.ndindex(2, 5):
        values = maps[image, channel].flatten().tolist()
        mean = sum(max(value, 1e-6) ** 3 for value in values) / 12
        assert float(pooled[image, channel]) == pytest.approx(mean ** (1 / 3), rel=1e-12)


def test_gem_of_a_dead_channel_has_a_finite_gradient() -> None:
    maps = torch.zeros(1, 2, 3, 3, requires_grad=True)
    gem(maps).sum().backward()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()


def test_uint8_equals_float_pixels(mini: Network) -> None:
    images = pixels(2, 3, 40, 40)
    assert torch.equal(mini(images), mini(images.float()))


def test_pixels_are_normalised_inside_with_the_imagenet_statistics(mini: Network) -> None:
    images = pixels(2, 3, 40, 40)
    seen: list[Tensor] = []
    hook = mini.conv1.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    mini(images)
    hook.remove()
    for channel in range(3):
        expected = (images[:, channel] / 255 - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        torch.testing.assert_close(seen[0][:, channel], expected)


def test_pooling_and_projection_stay_in_float32_under_autocast(mini: Network) -> None:
    images = pixels(2, 3, 40, 40)
    expected = mini(images)
    with torch.autocast("cpu", torch.bfloat16):
        descriptors = mini(images)
    assert descriptors.dtype == torch.float32
    torch.testing.assert_close(descriptors.norm(dim=1), torch.ones(2))
    assert 0 < float((descriptors - expected).detach().abs().max()) < 5e-2


def test_embed_returns_an_array_and_keeps_no_graph(mini: Network) -> None:
    images = pixels(2, 3, 40, 40)
    descriptors = mini.embed(images)
    assert descriptors.dtype == np.float32
    np.testing.assert_allclose(descriptors, mini(images).detach().numpy(), atol=1e-5)
