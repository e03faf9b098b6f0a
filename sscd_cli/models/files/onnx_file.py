"""The network as one ONNX file, written node by node.

torch has two exporters of its own: the one that traces is announced to be removed, the other needs
a further package and ten seconds. A network of ours is a dozen kinds of node, so that writing them
depends on neither and gives the same file with every torch.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from sscd_cli.errors import ModelError
from sscd_cli.models.network import Network
from sscd_cli.models.runtime.onnx_runtime import onnx_library
from sscd_cli.models.runtime.torch_runtime import fold_batch_norm
from sscd_cli.models.trunks import Block

# what every node here has had since 2020, and the file version of that time
OPSET, IR_VERSION = 13, 7
LEVEL = 114  # the mean of photographs, and what padding is where networks take bytes


def save_onnx(
    path: Path,
    network: Network,
    notes: Mapping[str, str],
    side: int | None,
    *,
    centred: bool = False,
) -> None:
    """Write `network` in float32: input `pixels` (B, 3, H, W), output `descriptors` (B, D).

    The input is normalised already, as that of the TorchScript files. B is free; H and W are
    `side`, or free for None. `notes` become the file's metadata. centred: the input is
    `LEVEL` below 0..255 instead, and `embedding` and `logits` are outputs, too (see
    `torch_runtime.compute`).
    Raises: ModelError: the package onnx is not installed.
    """
    with onnx_needed():
        from onnx import TensorProto, helper, save_model

    graph = _Graph()
    graph.network(network, centred)
    high, wide = side or "height", side or "width"
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, high, wide])
    widths = {"descriptors": network.dimensions}
    if centred:
        widths |= {"logits": network.dimensions, "embedding": network.fc.in_features}
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
        for name, width in widths.items()
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "sscd", [pixels], ends, graph.tensors),
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="sscd",
    )
    helper.set_model_props(model, dict(notes))
    save_model(model, path)


def run_onnx(path: Path, pixels_B3HW: Tensor) -> Tensor:
    """Return what ONNX Runtime computes from normalised float32 pixels on the CPU.

    Raises: ModelError: the package onnxruntime is not installed.
    """
    with onnx_needed():
        onnxruntime = onnx_library()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (descriptors,) = session.run(["descriptors"], {"pixels": pixels_B3HW.numpy()})
    return torch.from_numpy(descriptors)


def _take_levels(folded: Network) -> None:
    """Move normalisation into the first convolution, which then takes levels less `LEVEL`.

    Exact but for the border: what lies outside was the mean of each channel, and is `LEVEL` of
    all three, ten levels from it.
    """
    mean, std = 255 * folded.mean.flatten(), 255 * folded.std.flatten()
    weight = folded.conv1.weight.detach() / std[None, :, None, None]
    assert folded.conv1.bias is not None
    shift = (weight * (mean - LEVEL)[None, :, None, None]).sum(dim=(1, 2, 3))
    folded.conv1.bias = nn.Parameter(folded.conv1.bias.detach() - shift)
    folded.conv1.weight = nn.Parameter(weight)


@contextmanager
def onnx_needed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ModelError(
            f"writing ONNX needs {error.name}", "run `pip install 'sscd-cli[onnx]'`"
        ) from error


class _Graph:
    """A growing ONNX graph; each method adds nodes and returns the name of their output."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []

    def network(self, network: Network, centred: bool) -> None:
        folded = copy.deepcopy(network).eval()
        fold_batch_norm(folded)
        if centred:
            _take_levels(folded)
        x = self.active(folded.relu, self.convolution("conv1", folded.conv1, "pixels"))
        if isinstance(folded.maxpool, nn.MaxPool2d):
            x = self.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        for name, module in folded.named_modules():
            if isinstance(module, Block):
                x = self.block(name, module, x)
        self.head(folded.fc, x)

    def block(self, name: str, block: Block, x: str) -> str:
        shortcut = x
        if block.downsample is not None:
            layer = cast(nn.Conv2d, block.downsample[0])
            shortcut = self.convolution(f"{name}.downsample.0", layer, x)
        for number, layer in enumerate(block.convolutions, 1):
            x = x if number == 1 else self.active(block.relu, x)
            x = self.convolution(f"{name}.conv{number}", layer, x)
        if block.summed:
            x = self.add("Add", x, shortcut)
        return self.active(block.relu, x) if block.active else x

    def active(self, relu: nn.Module, x: str) -> str:
        if isinstance(relu, nn.ReLU6):
            return self.add(
                "Clip", x, self.number("relu.least", 0.0), self.number("relu.most", 6.0)
            )
        return self.add("Relu", x)

    def head(self, fc: nn.Linear, x: str) -> None:
        """Pool by the generalised mean of power 3, project, and normalise (see `network.gem`)."""
        x = self.add("Max", x, self.number("gem.eps", 1e-6))
        x = self.add("Pow", x, self.number("gem.power", 3.0))
        x = self.add("ReduceMean", x, axes=[2, 3], keepdims=0)
        x = self.add("Pow", x, self.number("gem.root", 1 / 3), output="embedding")
        names = [self.tensor(f"fc.{key}", value) for key, value in fc.named_parameters()]
        x = self.add("Gemm", x, *names, transB=1, output="logits")
        length = self.add("ReduceL2", x, axes=[1], keepdims=1)
        length = self.add("Max", length, self.number("norm.eps", 1e-12))
        self.add("Div", x, length, output="descriptors")

    def convolution(self, name: str, layer: nn.Conv2d, x: str) -> str:
        (pad, _), stride = cast(tuple[int, int], layer.padding), list(layer.stride)
        names = [self.tensor(f"{name}.{key}", value) for key, value in layer.named_parameters()]
        return self.add("Conv", x, *names, group=layer.groups, strides=stride, pads=[pad] * 4)

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        from onnx import helper

        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def number(self, name: str, value: float) -> str:
        known = any(tensor.name == name for tensor in self.tensors)
        return name if known else self.tensor(name, torch.tensor(value))

    def tensor(self, name: str, value: Tensor) -> str:
        from onnx import numpy_helper

        array = value.detach().numpy().astype(np.float32)
        self.tensors.append(numpy_helper.from_array(array, name))
        return name
