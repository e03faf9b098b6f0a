"""What this machine has: memory, cores, and how it multiplies."""

from __future__ import annotations

import ctypes
import functools
import math
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from errno import EAGAIN, EMFILE, ENFILE, ENOMEM
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_GROUPS = Path("/sys/fs/cgroup")
_CPU = Path("/proc/cpuinfo")
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


def give_memory_back() -> None:
    """Return to the system what was freed; glibc keeps it for what comes next.

    After embedding that is 50 MB, and as much after a join; there it takes about 10 ms.
    """
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def memory_limit() -> int | None:
    """Return the bytes of address space that `ulimit -v` allows, None if it does not say."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


@functools.cache
def has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 faster than float32.

    Those that multiply float16, too, Intel's since Sapphire Rapids, do so in tiles (AMX) only.
    Where a virtual machine hides these, bfloat16 has 0.6 to 0.8 times the speed of float32.
    """
    flags = _cpu_flags()
    return "amx_bf16" in flags or ("avx512_bf16" in flags and "avx512_fp16" not in flags)


@functools.cache
def has_int8() -> bool:
    """Whether the CPU sums products of bytes in hardware and exactly; others saturate the sums."""
    return bool({"avx512_vnni", "avx_vnni", "asimddp"} & _cpu_flags())


def _cpu_flags() -> set[str]:
    """Return what Linux says that the first core can do, empty where nobody says."""
    try:
        text = _CPU.read_text(encoding="ascii", errors="replace")
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
    """Return how many cores this process may use, or how much time of cores a container has."""
    return max(1, math.ceil(min(_cores(), _cpu_share())))


def share_cores() -> None:
    """Tell libraries that are loaded later how many threads to begin, and to wait without spinning.

    They go by the cores that they see, and on 64 of which a container may use one begin 64.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")  # 2^20 cycles, by default 2^26
    if core_count() < _cores():
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(name, str(core_count()))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int:
    """Return the machine's memory, or what a container's limits leave of it."""
    return min(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), _memory_share())


@functools.cache
def _memory_share() -> int:
    """Return the bytes that our control group may use, and those above it; cached, as decoding
    asks for each image."""
    names = {"": "memory.max", "memory": "memory.limit_in_bytes"}
    texts = [_first_line(group, names[kind]) for kind, group in _groups(*names)]
    return min((int(text) for text in texts if text.isdecimal()), default=sys.maxsize)


@functools.cache
def _cpu_share() -> float:
    """Return how many cores' worth of time our control group may take, and those above it."""
    return min(_cpu_shares(), default=math.inf) or math.inf


def _cpu_shares() -> Iterator[float]:
    for kind, group in _groups("", "cpu"):
        if kind:
            quota = _first_line(group, "cpu.cfs_quota_us")
            period = _first_line(group, "cpu.cfs_period_us")
        else:
            quota, _, period = _first_line(group, "cpu.max").partition(" ")
        if quota.isdecimal() and period.isdecimal():  # not "max" or "-1"
            yield int(quota) / int(period)


def _groups(*kinds: str) -> Iterator[tuple[str, Path]]:
    """Yield our control group and those above it, of either version of Linux's: "" is the later."""
    try:
        lines = _OWN_GROUP.read_text().splitlines()
    except OSError:
        return
    paths: dict[str, str] = {}
    for _, names, path in (line.split(":", 2) for line in lines):
        paths |= dict.fromkeys(names.split(","), path.strip("/"))
    for kind in kinds:
        own = _GROUPS / kind / paths.get(kind, "")
        yield from ((kind, group) for group in (own, *own.parents))


def _first_line(group: Path, name: str) -> str:
    try:
        return (group / name).read_text().strip()
    except OSError:
        return ""


@functools.cache
def keep_large_allocations() -> bool:
    """Stop glibc from returning large buffers to the system after every layer, in any thread.

    Up to 1.7 times the images/s of a batch of 32, for more memory at rest. Works on the whole
    process, so only commands call it. Returns whether it took effect.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    # only the main arena can hold buffers above 64 MiB
    settings = {_M_ARENA_MAX: 1, _M_MMAP_THRESHOLD: 1 << 30, _M_TRIM_THRESHOLD: (1 << 31) - 1}
    return bool(min(mallopt(name, value) for name, value in settings.items()))
