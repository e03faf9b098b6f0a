"""A network's ONNX file in floats as one in 8 bits, which takes pixels as they are.

ONNX Runtime's own tool measures how far maps range and writes the nodes; the weights are then
rounded by `rounding`, which makes up for most of what 8 bits cost.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscd_cli.machines.stages import each, stage
from sscd_cli.models.files.onnx_file import LEVEL, onnx_needed
from sscd_cli.models.files.rounding import Layer, Seen, patches, rounded
from sscd_cli.models.runtime.onnx_runtime import onnx_library

PLACES = 100  # of a map that tell what a layer sees
BATCH = 4  # pictures whose maps are all held at once

Maps = NDArray[np.float32]


def quantise_onnx(source: Path, target: Path, pixels_NHW3: NDArray[np.uint8]) -> None:
    """Write `source`, a centred file, with its trunk in 8 bits, as some pictures range.

    The input is uint8 (B, H, W, 3) then. Weights by channel, rounded for what these pictures show
    to each layer; maps by layer, from their least to their largest value; pooling and projection
    stay in float32, and so do the first layers of a network that cuts off at 6 (see
    `_exact_start`).
    Raises: ModelError: the packages onnx and onnxruntime are not installed.
    """
    with onnx_needed():
        import onnx

        onnx_library()
        from onnxruntime import quantization

    class Pictures(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            levels = _centred(pixels_NHW3, "measuring how far maps range")
            self._fed = ({"pixels": some} for some in levels)

        def get_next(self) -> dict[str, Maps] | None:
            return next(self._fed, None)

    with warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")
        quantization.quantize_static(
            source,
            target,
            Pictures(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            op_types_to_quantize=["Conv", "Relu", "Clip", "MaxPool", "Add"],
            nodes_to_exclude=_exact_start(onnx.load(source).graph),
        )
    model = onnx.load(target)
    _take_bytes(model.graph)
    _round_weights(model.graph, onnx.load(source), pixels_NHW3)
    onnx.save(model, target)


def _exact_start(graph: Any) -> list[str]:
    """Return the nodes up to the first projection, if the network cuts its maps off at 6.

    They reach some 100 there before the cut, so that a step of an 8-bit weight is much of what is
    left, and in 8 bits they take as long: maps of three channels are no food for sums of bytes.
    """
    cut = {name for node in graph.node if node.op_type == "Clip" for name in node.input}
    names = [node.name for node in graph.node]
    projections = (
        number
        for number, node in enumerate(graph.node)
        if node.op_type == "Conv" and node.output[0] not in cut
    )
    return names[: next(projections) + 1] if cut else []


def _centred(pixels_NHW3: NDArray[np.uint8], why: str) -> Iterator[Maps]:
    """Yield pixels as the network in floats takes them, (B, 3, H, W), and count them."""
    with stage(why, len(pixels_NHW3)) as work:
        for start in range(0, len(pixels_NHW3), BATCH):
            levels = pixels_NHW3[start : start + BATCH].transpose(0, 3, 1, 2).astype(np.float32)
            yield np.ascontiguousarray(levels - LEVEL)
            work.add(len(levels))


def _take_bytes(graph: Any) -> None:
    """Feed pixels as they are to what would first have made bytes of them."""
    from onnx import TensorProto, helper, numpy_helper

    first = next(node for node in graph.node if "pixels" in node.input)
    if first.op_type == "QuantizeLinear":
        graph.node.remove(first)
        levels = next(node for node in graph.node if first.output[0] in node.input)
        graph.node.remove(levels)
        name = levels.output[0]
    else:
        name = first.input[0] = "levels"
    feeding = ["bytes", "bytes.scale", "bytes.zero"]
    graph.node.insert(0, helper.make_node("DequantizeLinear", feeding, [name]))
    graph.node.insert(0, helper.make_node("Transpose", ["pixels"], ["bytes"], perm=[0, 3, 1, 2]))
    graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "bytes.scale"))
    graph.initializer.append(numpy_helper.from_array(np.array(LEVEL, np.uint8), "bytes.zero"))
    sizes = graph.input[0].type.tensor_type.shape.dim
    batch, _, height, width = (size.dim_param or size.dim_value for size in sizes)
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, [batch, height, width, 3])
    graph.input[0].CopyFrom(pixels)


def _round_weights(graph: Any, exact: Any, pixels_NHW3: NDArray[np.uint8]) -> None:
    """Round the weights in 8 bits anew, and let the biases take the mean of what is left."""
    from onnx import numpy_helper

    def array(name: str) -> NDArray[Any]:
        return numpy_helper.to_array(stored[name])

    def put(name: str, values: NDArray[Any]) -> None:
        stored[name].CopyFrom(numpy_helper.from_array(values, name))

    stored = {tensor.name: tensor for tensor in graph.initializer}
    floats = {tensor.name: numpy_helper.to_array(tensor) for tensor in exact.graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    fed = {node.name: node.input[0] for node in graph.node}
    layers = _seen_by(exact, pixels_NHW3)
    for node, seen in each(layers, "rounding weights", len(layers)):
        weight, bias = node.input[1:]
        if f"{weight}_quantized" not in stored:
            continue
        filters = floats[weight].reshape(len(floats[weight]), -1)
        steps, scales = rounded(filters, array(f"{weight}_scale"), seen.covariance)
        lost = filters - steps * scales[:, None]
        means = np.repeat(seen.mean, len(filters) // len(seen.mean), axis=0)
        units = array(makers[fed[node.name]].input[1]) * scales
        shifted = (floats[bias] + (lost * means).sum(axis=1)) / units
        put(f"{weight}_quantized", steps.reshape(floats[weight].shape))
        put(f"{weight}_scale", scales.astype(np.float32))
        put(f"{bias}_quantized", np.rint(shifted).astype(np.int32))
        put(f"{bias}_quantized_scale", units.astype(np.float32))


def _seen_by(model: Any, pixels_NHW3: NDArray[np.uint8]) -> list[tuple[Any, Seen]]:
    """Return each convolution of a network in floats with what it sees of some pictures."""
    from onnx import helper

    nodes = [node for node in model.graph.node if node.op_type == "Conv"]
    sides = {tensor.name: [1, *tensor.dims][-1] for tensor in model.graph.initializer}
    layers = [_layer(node, sides[node.input[1]]) for node in nodes]
    maps = sorted({node.input[0] for node in nodes} - {"pixels"})
    outputs = list(model.graph.output)
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in maps)
    session = onnx_library().InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    del model.graph.output[len(outputs) :]
    seen = [Seen() for _ in nodes]
    rng = np.random.default_rng(0)
    for levels in _centred(pixels_NHW3, "measuring what layers see"):
        shown = dict(zip(maps, session.run(maps, {"pixels": levels}), strict=True))
        shown["pixels"] = levels
        for node, layer, one in zip(nodes, layers, seen, strict=True):
            one.add(patches(shown[node.input[0]], layer, PLACES, rng))
    return list(zip(nodes, seen, strict=True))


def _layer(node: Any, side: int) -> Layer:
    from onnx import helper

    known = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    return Layer(side, known["strides"][0], known["pads"][0], known["group"])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep advice to the developers of networks off stderr."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
