"""A trunk in 8-bit whole numbers, by OpenVINO and NNCF: the extra `pip install 'sscd-cli[int8]'`.

What each layer's numbers range over is learnt once from some of the user's own images and kept in
the cache, one calibration for each file of weights; pooling and projection stay in float32.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sscd_cli.errors import UsageError
from sscd_cli.models.catalogue.cache import cache_folder
from sscd_cli.models.network import Network
from sscd_cli.storage.unfinished import unfinished_folder

IMAGES = 300  # that calibrate
EXTRA = "pip install 'sscd-cli[int8]'"


def int8_file(weights_sha256: str) -> Path | None:
    """Return the calibrated trunk of a file of weights, if one was made."""
    found = sorted(cache_folder().glob(f"int8/{weights_sha256[:32]}-*.xml"))
    return found[0] if found else None


def calibrate(network: Network, weights_sha256: str, pixels_N3HW: Tensor) -> Path:
    """Make and keep the 8-bit trunk of a network, as read, from uint8 images of one size.

    Raises: UsageError: the extra is not installed.
    """
    nncf, openvino = _libraries()
    logging.getLogger("nncf").setLevel(logging.ERROR)
    images: NDArray[np.float32] = pixels_N3HW.float().numpy()
    # bars of progress would stand among the data, and tracing is deprecated but what they do
    with redirect_stdout(sys.stderr), warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        plain = openvino.convert_model(
            _Trunk(network.eval()), example_input=torch.from_numpy(images[:2])
        )
        trunk = nncf.quantize(
            plain,
            nncf.Dataset([image[None] for image in images]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
        )
    digest = hashlib.sha256(images.tobytes()).hexdigest()[:12]
    path = cache_folder() / "int8" / f"{weights_sha256[:32]}-{digest}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    with unfinished_folder(path) as part:
        openvino.save_model(trunk, part, compress_to_fp16=False)
        part.with_suffix(".bin").replace(path.with_suffix(".bin"))
        part.replace(path)
    return path


def use_int8(network: Network, path: Path) -> str:
    """Make `network` compute its features by the calibrated trunk; return the precision's name.

    The name holds the calibration: "int8-1f0c…".
    """
    from sscd_cli.machines.hardware import core_count

    _, openvino = _libraries()
    compiled = openvino.Core().compile_model(
        path,
        "CPU",
        {"NUM_STREAMS": core_count(), "INFERENCE_NUM_THREADS": core_count()},
    )
    network.features = _features(compiled)  # type: ignore[method-assign, assignment]
    return f"int8-{path.stem.rpartition('-')[2]}"


class _Trunk(nn.Module):
    """The part of a network that is calibrated: from pixels to the last feature map."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels_B3HW: Tensor) -> Tensor:
        return self.network.features(pixels_B3HW)


def _features(compiled: Any) -> Callable[[Tensor], Tensor]:
    requests = threading.local()

    def features(pixels_B3HW: Tensor) -> Tensor:
        if not hasattr(requests, "own"):
            requests.own = compiled.create_infer_request()
        pixels = pixels_B3HW.float().contiguous().numpy()
        return torch.from_numpy(requests.own.infer(pixels)[0])

    return features


def _libraries() -> tuple[Any, Any]:
    # both would call home: this product does not
    os.environ["NNCF_CI"] = "1"
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import nncf
        import openvino
    except ImportError as error:
        raise UsageError("int8 needs OpenVINO and NNCF", EXTRA) from error
    return nncf, openvino
