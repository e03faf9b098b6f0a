"""Which tensor is which: the names that four libraries give the same network.

All end in torchvision's names, which `network.Network` uses. Names decide the layout, shapes decide
trunk and dimensions; neither the file's name nor anything it says of itself does.
Source: classy_vision 0.7 `resnext.py`, birder 0.8 `resnet_v1.py`, torchvision `resnet.py`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

LAYOUTS = ("torchvision", "classy", "birder")

# (has a third convolution in its first block, blocks a stage, channels of the stem, input channels
# of a group of that block's second convolution) → trunk
TRUNK_OF_SHAPE = {
    (False, (2, 2, 2, 2), 32, 32): "mini",
    (False, (2, 2, 2, 2), 64, 64): "resnet18",
    (True, (3, 4, 6, 3), 64, 64): "resnet50",
    (True, (3, 4, 23, 3), 64, 4): "resnext101_32x4d",
    (True, (3, 4, 23, 3), 64, 8): "resnext101_32x8d",
    (False, (3, 2, 6, 6), 32, 32): "efficientnet_lite0",
}

_WRAPPERS = re.compile(r"(?:(?:module|_orig_mod|model|backbone)\.)*")
_FIELD = r"\.(weight|bias|running_mean|running_var|num_batches_tracked)"
_TORCHVISION = re.compile(
    rf"(conv1|bn1|fc|layer[1-4]\.\d+\.(?:conv[1-3]|bn[1-3]|downsample\.[01])){_FIELD}"
)
_CLASSY_BLOCK = re.compile(
    rf"blocks\.([0-3])\.block\1-(\d+)\.(convolutional_block\.[01346]|bn|downsample\.[01]){_FIELD}"
)
_BIRDER_BLOCK = re.compile(
    rf"body\.stage([1-4])\.(\d+)\.(block1\.(?:[01]\.[01]|[123])|block2\.[01]){_FIELD}"
)
_FIXED = {
    "classy": {"initial_block._module.0": "conv1", "initial_block._module.1": "bn1"}
    | {"embeddings.1": "fc"},
    "birder": {"stem.0.0": "conv1", "stem.0.1": "bn1", "classifier": "fc"},
}
_CLASSY_PARTS = {
    "convolutional_block.0": "conv1",
    "convolutional_block.1": "bn1",
    "convolutional_block.3": "conv2",
    "convolutional_block.4": "bn2",
    "convolutional_block.6": "conv3",
}
_BIRDER_BOTTLENECK = {
    "block1.0.0": "conv1",
    "block1.0.1": "bn1",
    "block1.1.0": "conv2",
    "block1.1.1": "bn2",
    "block1.2": "conv3",
    "block1.3": "bn3",
}
_BIRDER_BASIC = {
    "block1.0.0": "conv1",
    "block1.0.1": "bn1",
    "block1.1": "conv2",
    "block1.2": "bn2",
}


def to_torchvision(names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Return the layout of `names` and the name in the file of each of torchvision's names.

    Raises: ValueError: no layout explains every name (the message shows one that is left over),
    or two tensors claim the same place.
    """
    bare = {name: _WRAPPERS.sub("", name, count=1) for name in names}
    best: tuple[str, dict[str, str]] = ("torchvision", {})
    for layout in LAYOUTS:
        renamed = _renamed(bare, layout)
        if len(renamed) > len(best[1]):
            best = (layout, renamed)
    left = bare.keys() - best[1].keys()
    if not best[1] or left:
        example = f", such as {min(left)!r:.80}" if left else ""
        raise ValueError(f"its tensors are not those of an SSCD network{example}")
    files = {ours: theirs for theirs, ours in best[1].items()}
    if len(files) != len(best[1]):
        raise ValueError("two of its tensors claim the same place in the network")
    return best[0], files


def _renamed(bare: Mapping[str, str], layout: str) -> dict[str, str]:
    bottleneck = any(
        name.endswith(("block1.3.weight", "convolutional_block.6.weight")) for name in bare
    )
    new = {name: _torchvision_name(inner, layout, bottleneck) for name, inner in bare.items()}
    return {name: found for name, found in new.items() if found}


def _torchvision_name(name: str, layout: str, bottleneck: bool) -> str | None:
    if layout == "torchvision":
        return name if _TORCHVISION.fullmatch(name) else None
    stem, _, leaf = name.rpartition(".")
    if stem in _FIXED[layout] and re.fullmatch(_FIELD, f".{leaf}"):
        return f"{_FIXED[layout][stem]}.{leaf}"
    pattern = _CLASSY_BLOCK if layout == "classy" else _BIRDER_BLOCK
    match = pattern.fullmatch(name)
    if match is None:
        return None
    stage, block, part, leaf = match.groups()
    if layout == "classy":
        new = _CLASSY_PARTS.get(part) or part.replace("bn", "bn3" if bottleneck else "bn2")
        return f"layer{int(stage) + 1}.{block}.{new}.{leaf}"
    parts = _BIRDER_BOTTLENECK if bottleneck else _BIRDER_BASIC
    found = parts.get(part) or (part.startswith("block2") and part.replace("block2", "downsample"))
    return f"layer{stage}.{block}.{found}.{leaf}" if found else None


def infer_trunk(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, int]:
    """Return the trunk and the descriptor dimensions of tensors in torchvision's names.

    Raises: ValueError: a part is missing, or it is a trunk that no SSCD network has.
    """
    for name in ("conv1.weight", "layer1.0.conv2.weight", "fc.weight"):
        if name not in shapes:
            raise ValueError(f"it has no {name}, which every SSCD network has")
    second, head = shapes["layer1.0.conv2.weight"], shapes["fc.weight"]
    if len(second) != 4 or len(head) != 2 or not shapes["conv1.weight"]:
        raise ValueError("its tensors have the wrong number of axes")
    bottleneck = "layer1.0.conv3.weight" in shapes
    blocks = tuple(_count_blocks(shapes, stage) for stage in (1, 2, 3, 4))
    shape = (bottleneck, blocks, shapes["conv1.weight"][0], second[1])
    if shape not in TRUNK_OF_SHAPE:
        kind = "bottleneck" if bottleneck else "basic"
        raise ValueError(f"no SSCD network has {blocks} {kind} blocks of groups of {second[1]}")
    if not 1 <= head[0] <= 65_536:
        raise ValueError(f"descriptors of {head[0]} dimensions are out of range")
    return TRUNK_OF_SHAPE[shape], head[0]


def _count_blocks(names: Collection[str], stage: int) -> int:
    prefix = f"layer{stage}."
    return len({name.split(".")[1] for name in names if name.startswith(prefix)})
