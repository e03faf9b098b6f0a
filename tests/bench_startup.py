"""Measure the CPU seconds of `sscd --help` and `sscd dedup --help`, next to an empty Python.

    python tests/bench_startup.py [RUNS]

Prints the median and the least of user plus system time of fresh processes. Files are cached by
one run before the first that counts.
"""

from __future__ import annotations

import platform
import resource
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

SSCD = Path(sys.executable).with_name("sscd")
LIMIT_MS = 150
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "sscd --help": [str(SSCD), "--help"],
    "sscd dedup --help": [str(SSCD), "dedup", "--help"],
}


def cpu_ms(command: list[str]) -> float:
    """Return the CPU time of one run of a command, in milliseconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> int:
    """Print one line a command; the status is 1 if the limit is exceeded."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, Python {platform.python_version()}")
    print(f"typer {version('typer')}; CPU time of {runs} runs, limit {LIMIT_MS} ms")
    medians = {}
    for name, command in COMMANDS.items():
        cpu_ms(command)
        times = [cpu_ms(command) for _ in range(runs)]
        medians[name] = statistics.median(times)
        print(f"{name:<20} median {medians[name]:4.0f} ms, least {min(times):4.0f} ms")
    return int(any(medians[name] > LIMIT_MS for name in COMMANDS if "help" in name))


if __name__ == "__main__":
    sys.exit(main())
