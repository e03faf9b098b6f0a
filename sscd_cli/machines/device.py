"""Where a network runs, in which precision, beside which workers. Loads torch only as needed."""

from __future__ import annotations

from dataclasses import dataclass

from sscd_cli.errors import SscdError, UsageError
from sscd_cli.machines.hardware import has_bfloat16, has_cuda_driver

PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")


@dataclass(frozen=True)
class Device:
    """A CPU or a GPU, by the names that torch gives them."""

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"


def choose_device(name: str) -> Device:
    """Return the device called `name`; "auto" is CUDA where there is one.

    Raises: UsageError: no such device. SscdError: this machine has none.
    """
    if name == "cpu" or (name == "auto" and not has_cuda_driver()):
        return Device("cpu")
    import torch

    if name == "auto":
        return Device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}", "use --device cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"sscd does not run on {name!r}", "use --device cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SscdError(f"this machine has no CUDA device {name!r}", "use --device cpu")
    return Device(device.type, device.index)


def choose_precision(name: str, device: Device) -> str:
    """Return "fp32", "bf16", "fp16" or "int8" for the trunk; the head stays in float32.

    "auto" is bf16 on what multiplies it in hardware, else fp16 on CUDA devices and fp32 on CPUs.
    Raises: UsageError: unknown, or not supported by the device.
    """
    if name not in PRECISIONS:
        raise UsageError(f"unknown precision {name!r}", f"use one of {', '.join(PRECISIONS)}")
    if name == "auto":
        if device.type == "cuda":
            import torch

            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        return "bf16" if has_bfloat16() else "fp32"
    if name == "int8" and device.type != "cpu":
        raise UsageError("int8 is for CPUs", "use --precision auto")
    if name == "fp16" and device.type == "cpu":
        raise UsageError("fp16 is for CUDA devices", "use --precision bf16 or fp32")
    return name


def start_worker(_: int) -> None:
    """Make a process that decodes ready: one thread, and no end of its own."""
    import torch

    from sscd_cli.machines.forks import leave_stopping_to_parent

    torch.set_num_threads(1)
    leave_stopping_to_parent()
