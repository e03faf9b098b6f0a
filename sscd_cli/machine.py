"""What this machine has: memory, cores, and how it multiplies."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")


@functools.cache
def has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware; else it is slower than float32."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


@functools.cache
def has_cuda_driver() -> bool:
    """Whether NVIDIA's driver is installed: found out without PyTorch, which takes 2 s to load."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def core_count() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int:
    """Return the machine's memory, or what a container's limits leave of it."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_limits()])


def _limits() -> Iterator[int]:
    """Yield the limits of our control group and those above it, of either version of Linux's."""
    try:
        lines = _OWN_GROUP.read_text().splitlines()
    except OSError:
        return
    paths = {kind: path.strip("/") for _, kind, path in (line.split(":", 2) for line in lines)}
    for kind, name in (("", "memory.max"), ("memory", "memory.limit_in_bytes")):
        own = _GROUPS / kind / paths.get(kind, "")
        for group in (own, *own.parents):
            try:
                yield int((group / name).read_text())
            except (OSError, ValueError):  # no such group, or "max"
                continue
