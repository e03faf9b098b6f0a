"""What this machine has: memory, cores, and how it multiplies."""

from __future__ import annotations

import ctypes
import functools
import os
import resource
from collections.abc import Iterator
from errno import EAGAIN, EMFILE, ENFILE, ENOMEM
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")
_LACKING: dict[str, tuple[set[int], tuple[str, ...]]] = {
    "memory": ({ENOMEM}, ("allocate memory", "bad_alloc", "failed to map segment", "of memory")),
    "open files": ({EMFILE, ENFILE}, ("Too many open files",)),
    "threads": ({EAGAIN}, ("start new thread", "worker thread", "temporarily unavailable")),
}


def lacking(error: BaseException) -> str | None:
    """Return of what this machine had too little, where that is all that an exception says.

    "memory", "open files" or "threads", as libraries tell by exceptions of many types: what was
    read then is no more damaged than what was to be written.
    """
    if isinstance(error, MemoryError):
        return "memory"
    code, text = getattr(error, "errno", None), str(error)
    for what, (codes, words) in _LACKING.items():
        if code in codes or any(word in text for word in words):
            return what
    return None


def memory_limit() -> int | None:
    """Return the bytes of address space that `ulimit -v` allows, None if it does not say."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


@functools.cache
def has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware; else it is slower than float32."""
    return bool({"avx512_bf16", "amx_bf16"} & _cpu_flags())


@functools.cache
def has_int8() -> bool:
    """Whether the CPU sums products of bytes in hardware and exactly; others saturate the sums."""
    return bool({"avx512_vnni", "avx_vnni", "asimddp"} & _cpu_flags())


def _cpu_flags() -> set[str]:
    """Return what Linux says that the first core can do, empty where nobody says."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return set()
    lines = (line for line in text.splitlines() if line.startswith(("flags", "Features")))
    return set(next(lines, "").split())


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
