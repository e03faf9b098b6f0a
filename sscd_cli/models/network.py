"""The SSCD network: a trunk of four stages, GeM pooling, a linear projection, L2 normalisation.

Shapes: B images, H × W pixels, C trunk channels, D descriptor dimensions. Tensor names are
torchvision's (`conv1`, `layer1.0.bn1`, …, `fc`), so that published weights load by name.
Source: SSCD paper, section 4; reference `sscd/models/model.py` and `gem_pooling.py`.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from sscd_cli.images.preprocess import IMAGENET_MEAN, IMAGENET_STD
from sscd_cli.models.trunks import TRUNKS, convolution


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
        self.conv1 = convolution(3, shape.stem, shape.stem_size, 2)
        self.bn1 = nn.BatchNorm2d(shape.stem)
        self.relu = shape.relu()
        self.maxpool = nn.MaxPool2d(3, 2, 1) if shape.pooled else nn.Identity()
        self.layer1, self.layer2, self.layer3, self.layer4 = shape.stages()
        self.fc = nn.Linear(shape.channels, dimensions)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)
        _initialise(self)

    def features(self, pixels_B3HW: Tensor) -> Tensor:
        """Return the last feature map, (B, C, H/32, W/32), in the trunk's own dtype."""
        x = self.stem(pixels_B3HW)
        return cast(Tensor, self.layer4(self.layer3(self.layer2(self.layer1(x)))))

    def stem(self, pixels_B3HW: Tensor) -> Tensor:
        """Return what the first stage sees, (B, C0, H/4, W/4), in the trunk's own dtype.

        Without pooling (EfficientNet-Lite), where that stage halves it, (B, C0, H/2, W/2).
        """
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
            with torch.no_grad():  # an input reaches the outputs of its group only
                module.weight.mul_(module.groups**0.5)
