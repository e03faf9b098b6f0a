"""The network as one ONNX file, written node by node.

torch has two exporters of its own: the one that traces is announced to be removed, the other needs
a further package and ten seconds. A residual network is ten kinds of node, so that writing them
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
from sscd_cli.models.network import BasicBlock, Bottleneck, Network
from sscd_cli.models.runtime.torch_runtime import fold_batch_norm

# what every node here has had since 2020, and the file version of that time
OPSET, IR_VERSION = 13, 7


def save_onnx(path: Path, network: Network, notes: Mapping[str, str], side: int | None) -> None:
    """Write `network` in float32: input `pixels` (B, 3, H, W), output `descriptors` (B, D).

    The input is normalised already, as that of the TorchScript files. B is free; H and W are
    `side`, or free for None. `notes` become the file's metadata.
    Raises: ModelError: the package onnx is not installed.
    """
    with _needed():
        from onnx import TensorProto, helper, save_model

    graph = _Graph()
    graph.network(network)
    shapes: dict[str, list[str | int | None]] = {
        "pixels": ["batch", 3, side or "height", side or "width"],
        "descriptors": ["batch", network.dimensions],
    }
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "sscd", ends[:1], ends[1:], graph.tensors),
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
    with _needed():
        from onnxruntime import InferenceSession

    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    (descriptors,) = session.run(["descriptors"], {"pixels": pixels_B3HW.numpy()})
    return torch.from_numpy(descriptors)


@contextmanager
def _needed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ModelError(
            f"exporting to ONNX needs {error.name}", "run `pip install 'sscd-cli[onnx]'`"
        ) from error


class _Graph:
    """A growing ONNX graph; each method adds nodes and returns the name of their output."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []

    def network(self, network: Network) -> None:
        folded = copy.deepcopy(network).eval()
        fold_batch_norm(folded)
        x = self.add("Relu", self.convolution("conv1", folded.conv1, "pixels"))
        x = self.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        for name, module in folded.named_modules():
            if isinstance(module, BasicBlock | Bottleneck):
                x = self.block(name, module, x)
        self.head(folded.fc, x)

    def block(self, name: str, block: BasicBlock | Bottleneck, x: str) -> str:
        shortcut = x
        if block.downsample is not None:
            convolution = cast(nn.Conv2d, block.downsample[0])
            shortcut = self.convolution(f"{name}.downsample.0", convolution, x)
        *first, last = [part for part in ("conv1", "conv2", "conv3") if hasattr(block, part)]
        for part in first:
            x = self.add("Relu", self.convolution(f"{name}.{part}", getattr(block, part), x))
        x = self.convolution(f"{name}.{last}", getattr(block, last), x)
        return self.add("Relu", self.add("Add", x, shortcut))

    def head(self, fc: nn.Linear, x: str) -> None:
        """Pool by the generalised mean of power 3, project, and normalise (see `network.gem`)."""
        x = self.add("Clip", x, self.number("gem.eps", 1e-6))
        x = self.add("Pow", x, self.number("gem.power", 3.0))
        x = self.add("ReduceMean", x, axes=[2, 3], keepdims=0)
        x = self.add("Pow", x, self.number("gem.root", 1 / 3))
        names = [self.tensor(f"fc.{key}", value) for key, value in fc.named_parameters()]
        x = self.add("Gemm", x, *names, transB=1)
        length = self.add("ReduceL2", x, axes=[1], keepdims=1)
        length = self.add("Clip", length, self.number("norm.eps", 1e-12))
        self.add("Div", x, length, output="descriptors")

    def convolution(self, name: str, layer: nn.Conv2d, x: str) -> str:
        (pad, _), stride = cast(tuple[int, int], layer.padding), list(layer.stride)
        names = [self.tensor(f"{name}.{key}", value) for key, value in layer.named_parameters()]
        return self.add("Conv", x, *names, group=layer.groups, strides=stride, pads=[pad] * 4)

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        from onnx import helper

        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def number(self, name: str, value: float) -> str:
        return self.tensor(name, torch.tensor(value))

    def tensor(self, name: str, value: Tensor) -> str:
        from onnx import numpy_helper

        array = value.detach().numpy().astype(np.float32)
        self.tensors.append(numpy_helper.from_array(array, name))
        return name
