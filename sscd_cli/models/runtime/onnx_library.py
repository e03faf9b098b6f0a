"""ONNX Runtime, loaded here before anywhere else, and told first to report nothing to its maker."""

from __future__ import annotations

import os
from typing import Any


def onnx_library() -> Any:
    """Return the package `onnxruntime`, which sends no word of its use to anyone.

    Its official builds report models and speed to their maker and keep a number of the machine
    below the cache folder, unless a variable of the environment says no before they are loaded.
    Raises: ImportError: it is not installed.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    # for a program that had loaded it before us
    onnxruntime.disable_telemetry_events()
    return onnxruntime
