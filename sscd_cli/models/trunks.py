"""The trunks that an SSCD network can have: rows of blocks, and how many of which width.

Source: He et al. 2016 (ResNet), Xie et al. 2017 (ResNeXt), Tan & Le 2019 with TensorFlow's
`efficientnet/lite` (EfficientNet-Lite0, here with the same padding on all sides).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn


class Block(nn.Module):
    """Convolutions one after the other, each with batch norm, and a shortcut around them.

    The tensors are `conv1`, `bn1`, `conv2` and so on. `relu` comes between them, and after the
    last, or the sum with the shortcut, if the block is `active`. summed: whether there is a
    shortcut, which `downsample` brings to another size.
    """

    def __init__(
        self,
        convolutions: Sequence[nn.Conv2d],
        relu: nn.Module,
        *,
        summed: bool = True,
        active: bool = True,
        downsample: nn.Sequential | None = None,
    ) -> None:
        super().__init__()
        self.parts = [(f"conv{n}", f"bn{n}") for n in range(1, len(convolutions) + 1)]
        for (conv, norm), layer in zip(self.parts, convolutions, strict=True):
            self.add_module(conv, layer)
            self.add_module(norm, nn.BatchNorm2d(layer.out_channels))
        self.relu = relu
        self.summed, self.active, self.downsample = summed, active, downsample

    @property
    def convolutions(self) -> list[nn.Conv2d]:
        return [cast(nn.Conv2d, getattr(self, conv)) for conv, _ in self.parts]

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out = x_BCHW
        for conv, norm in self.parts:
            out = getattr(self, norm)(getattr(self, conv)(out))
            if conv != self.parts[-1][0]:
                out = self.relu(out)
        if self.summed:
            out += x_BCHW if self.downsample is None else self.downsample(x_BCHW)
        return cast(Tensor, self.relu(out)) if self.active else out


def convolution(
    inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """Return a convolution without bias of `size` × `size`, padded to keep what it covers."""
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)


@dataclass(frozen=True)
class Residual:
    """A ResNet or ResNeXt.

    `widths` are the channels of the four stages inside a block; a bottleneck block puts out
    four times as many. `groups` and `group_width` describe the 3×3 convolution of a bottleneck,
    which carries the stride.
    """

    bottleneck: bool
    blocks: tuple[int, int, int, int]
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    stem: int = 64
    groups: int = 1
    group_width: int = 64

    stem_size = 7
    pooled = True

    @property
    def channels(self) -> int:
        """Channels of the last feature map."""
        return self.widths[3] * (4 if self.bottleneck else 1)

    def relu(self) -> nn.Module:
        return nn.ReLU(inplace=True)

    def stages(self) -> list[nn.Sequential]:
        stages, inputs = [], self.stem
        for index, (count, width) in enumerate(zip(self.blocks, self.widths, strict=True)):
            stage = nn.Sequential()
            for position in range(count):
                stride = 2 if position == 0 and index > 0 else 1
                stage.append(self._block(inputs, width, stride))
                inputs = width * (4 if self.bottleneck else 1)
            stages.append(stage)
        return stages

    def _block(self, inputs: int, width: int, stride: int) -> Block:
        if self.bottleneck:
            inner, outputs = width * self.group_width // 64 * self.groups, width * 4
            layers = [
                convolution(inputs, inner, 1),
                convolution(inner, inner, 3, stride, self.groups),
                convolution(inner, outputs, 1),
            ]
        else:
            outputs = width
            layers = [convolution(inputs, width, 3, stride), convolution(width, width, 3)]
        downsample = None
        if stride != 1 or inputs != outputs:
            layer = convolution(inputs, outputs, 1, stride)
            downsample = nn.Sequential(layer, nn.BatchNorm2d(outputs))
        return Block(layers, self.relu(), downsample=downsample)


@dataclass(frozen=True)
class Inverted:
    """EfficientNet-Lite: depthwise convolutions between 1×1 ones, the widest in the middle.

    rows: for each of the four stages rows of equal blocks: how many, the size of the depthwise
    convolution, the stride of the first, how many times wider inside, and the channels put out.
    channels: what one more 1×1 convolution makes of the last.
    """

    rows: tuple[tuple[tuple[int, int, int, int, int], ...], ...]
    stem: int
    channels: int

    stem_size = 3
    pooled = False

    def relu(self) -> nn.Module:
        return nn.ReLU6(inplace=True)

    def stages(self) -> list[nn.Sequential]:
        stages, inputs = [], self.stem
        for rows in self.rows:
            stage = nn.Sequential()
            for count, size, stride, wider, outputs in rows:
                for position in range(count):
                    step = stride if position == 0 else 1
                    stage.append(self._block(inputs, outputs, size, step, wider))
                    inputs = outputs
            stages.append(stage)
        last = convolution(inputs, self.channels, 1)
        stages[-1].append(Block([last], self.relu(), summed=False))
        return stages

    def _block(self, inputs: int, outputs: int, size: int, stride: int, wider: int) -> Block:
        inner = inputs * wider
        layers = [
            convolution(inner, inner, size, stride, groups=inner),
            convolution(inner, outputs, 1),
        ]
        if wider > 1:
            layers.insert(0, convolution(inputs, inner, 1))
        same = stride == 1 and inputs == outputs
        return Block(layers, self.relu(), summed=same, active=False)


TRUNKS: dict[str, Residual | Inverted] = {
    "mini": Residual(False, (2, 2, 2, 2), widths=(32, 64, 160, 320), stem=32),
    "resnet18": Residual(False, (2, 2, 2, 2)),
    "resnet50": Residual(True, (3, 4, 6, 3)),
    "resnext101_32x4d": Residual(True, (3, 4, 23, 3), groups=32, group_width=4),
    "resnext101_32x8d": Residual(True, (3, 4, 23, 3), groups=32, group_width=8),
    "efficientnet_lite0": Inverted(
        (
            ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24)),
            ((2, 5, 2, 6, 40),),
            ((3, 3, 2, 6, 80), (3, 5, 1, 6, 112)),
            ((4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
        ),
        stem=32,
        channels=1280,
    ),
}
