"""What every benchmark prints first, and what a command took.

The machine, versions, the date, and how busy the machine is.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import sscd_cli


def header(packages: Sequence[str] = ("torch", "pillow", "numpy")) -> str:
    """Return two lines."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = ", ".join(f"{name} {_version(name)}" for name in packages)
    return (
        f"{_cpu_name()}, {cores} cores, load {os.getloadavg()[0]:.1f}, "
        f"{datetime.now(UTC):%Y-%m-%d}\n"
        f"sscd {sscd_cli.__version__}, Python {platform.python_version()}, {versions}"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "CPU")


@dataclass(frozen=True)
class Took:
    """Seconds by the clock and of CPU, and the peak memory in MB."""

    seconds: float
    cpu: float
    peak: float


def took(words: Sequence[str], **how: Any) -> Took:
    """Run a command as `subprocess.Popen` does, and return what it took; it must not fail."""
    started = time.perf_counter()
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, **how)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{words} failed")
    cpu = usage.ru_utime + usage.ru_stime
    return Took(time.perf_counter() - started, cpu, usage.ru_maxrss / 1024)
