"""The SSCD network: a ResNet trunk, GeM pooling, a linear projection, L2 normalisation.

Shapes: B images, H × W pixels, C trunk channels, D descriptor dimensions. Tensor names are
torchvision's (`conv1`, `layer1.0.bn1`, …, `fc`), so that published weights load by name.
Source: SSCD paper, section 4; reference `sscd/models/model.py` and `gem_pooling.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from sscd_cli.images.preprocess import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True)
class TrunkShape:
    """What distinguishes one residual trunk from another.

    `widths` are the channels of the four stages inside a block; a bottleneck block puts out
    four times as many. `groups` and `group_width` describe the 3×3 convolution of a bottleneck.
    """

    bottleneck: bool
    blocks: tuple[int, int, int, int]
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    stem: int = 64
    groups: int = 1
    group_width: int = 64

    @property
    def expansion(self) -> int:
        return 4 if self.bottleneck else 1

    @property
    def channels(self) -> int:
        """Channels of the last feature map."""
        return self.widths[3] * self.expansion


TRUNKS = {
    "mini": TrunkShape(False, (2, 2, 2, 2), widths=(32, 64, 160, 320), stem=32),
    "resnet18": TrunkShape(False, (2, 2, 2, 2)),
    "resnet50": TrunkShape(True, (3, 4, 6, 3)),
    "resnext101_32x4d": TrunkShape(True, (3, 4, 23, 3), groups=32, group_width=4),
    "resnext101_32x8d": TrunkShape(True, (3, 4, 23, 3), groups=32, group_width=8),
}


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x_BCHW)))
        out = self.bn2(self.conv2(out))
        out += x_BCHW if self.downsample is None else self.downsample(x_BCHW)
        return cast(Tensor, self.relu(out))


class Bottleneck(nn.Module):
    """1×1, 3×3 (which carries the stride, and the groups of a ResNeXt), 1×1, and a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int, groups: int, group_width: int) -> None:
        super().__init__()
        inner, outputs = width * group_width // 64 * groups, width * 4
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x_BCHW)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x_BCHW if self.downsample is None else self.downsample(x_BCHW)
        return cast(Tensor, self.relu(out))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def _stage(shape: TrunkShape, inputs: int, index: int) -> nn.Sequential:
    width = shape.widths[index]
    blocks = nn.Sequential()
    for position in range(shape.blocks[index]):
        stride = 2 if position == 0 and index > 0 else 1
        if shape.bottleneck:
            block: nn.Module = Bottleneck(inputs, width, stride, shape.groups, shape.group_width)
        else:
            block = BasicBlock(inputs, width, stride)
        blocks.append(block)
        inputs = width * shape.expansion
    return blocks


class Network(nn.Module):
    """Pixels in, descriptors out.

    `forward` takes images as (B, 3, H, W) with values 0..255, uint8 or floating point, and gives
    float32 descriptors (B, D) of unit length. Normalisation with the ImageNet statistics happens
    inside. H and W are free (32 at least); pooling and projection always run in float32.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, trunk: str, dimensions: int) -> None:
        """Build an untrained network. Raises KeyError for a trunk that is not in `TRUNKS`."""
        super().__init__()
        shape = TRUNKS[trunk]
        self.trunk = trunk
        self.dimensions = dimensions
        self.conv1 = nn.Conv2d(3, shape.stem, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(shape.stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = [shape.stem, *(width * shape.expansion for width in shape.widths)]
        self.layer1 = _stage(shape, inputs[0], 0)
        self.layer2 = _stage(shape, inputs[1], 1)
        self.layer3 = _stage(shape, inputs[2], 2)
        self.layer4 = _stage(shape, inputs[3], 3)
        self.fc = nn.Linear(shape.channels, dimensions)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)
        _initialise(self)

    def features(self, pixels_B3HW: Tensor) -> Tensor:
        """Return the last feature map, (B, C, H/32, W/32), in the trunk's own dtype."""
        x = self.stem(pixels_B3HW)
        return cast(Tensor, self.layer4(self.layer3(self.layer2(self.layer1(x)))))

    def stem(self, pixels_B3HW: Tensor) -> Tensor:
        """Return what the first stage sees, (B, C0, H/4, W/4), in the trunk's own dtype."""
        x = self._normalised(pixels_B3HW).to(self.conv1.weight.dtype)
        return cast(Tensor, self.maxpool(self.relu(self.bn1(self.conv1(x)))))

    def _normalised(self, pixels_B3HW: Tensor) -> Tensor:
        """Return (pixels / 255 - mean) / std, by whole rows: three times as fast as by channel."""
        _, _, height, width = pixels_B3HW.shape
        rows_BHR = pixels_B3HW.permute(0, 2, 3, 1).reshape(-1, height, width * 3).float() / 255
        rows_BHR.sub_(self.mean.flatten().repeat(width)).div_(self.std.flatten().repeat(width))
        return rows_BHR.view(-1, height, width, 3).permute(0, 3, 1, 2)

    def forward(self, pixels_B3HW: Tensor) -> Tensor:
        maps = self.features(pixels_B3HW)
        with torch.autocast(maps.device.type, enabled=False):
            return F.normalize(self.fc(gem(maps.float())), dim=1)

    @torch.inference_mode()
    def embed(self, pixels_N3HW: Tensor) -> NDArray[np.float32]:
        """Return the descriptors of a batch as an array, float32 (N, D)."""
        pixels = pixels_N3HW.to(self.mean.device, memory_format=torch.channels_last)
        descriptors: NDArray[np.float32] = self(pixels).cpu().numpy()
        return descriptors


def gem(maps_BCHW: Tensor, power: float = 3.0, eps: float = 1e-6) -> Tensor:
    """Pool feature maps to (B, C) by the generalised mean over positions.

    Source: reference `gem_pooling.py`; the power is 3 in every published model and stored in none.
    """
    return maps_BCHW.clamp(min=eps).pow(power).mean(dim=(2, 3)).pow(1 / power)


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        # drawing numbers for a tensor without storage would load PyTorch's compiler, a second
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
