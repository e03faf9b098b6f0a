"""Compute golden descriptors of seeded weights with the original libraries; list their keys.

Usage: pip install --group conformance, then python tests/tools/make_weight_goldens.py.
It rewrites `data/weights_keys`: the names and shapes of every layout, and the first six numbers of
the descriptor of `weight_layouts.probe()`. The core tests need none of these libraries.
"""

from __future__ import annotations

import json

import torch
from original_networks import BIRDER, ORIGINALS, seeded_original
from torch.nn import functional as F
from weight_layouts import KEYS, RGB_STATS, probe


def golden(layout: str, trunk: str) -> list[float]:
    """List the names of a seeded network, and return the start of its descriptor."""
    network = seeded_original(layout, trunk, 1024 if "101" in trunk else 512)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    lines = (f"{n} {'x'.join(map(str, shape)) or 'scalar'}\n" for n, shape in shapes.items())
    (KEYS / f"{layout}_{trunk}.txt").write_text("".join(lines))
    mean, std = (torch.tensor(RGB_STATS[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        descriptor = F.normalize(network((probe().float() / 255 - mean) / std))
    return [round(number, 7) for number in descriptor[0, :6].tolist()]


def main() -> None:
    goldens = {f"{layout}_{t}": golden(layout, t) for t in BIRDER for layout in ORIGINALS}
    text = json.dumps(dict(sorted(goldens.items())), indent=1)
    (KEYS / "goldens.json").write_text(text)


if __name__ == "__main__":
    main()
