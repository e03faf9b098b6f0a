"""Check everything: format, lint, types, tests. Stops at the first that fails, with its status.

    python tests/check.py [PYTEST_OPTION...]

Works from any folder, with the tools of the Python that runs it (`pip install '.[test]'`).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHECKS = (
    ("format", ["ruff", "format", "--check"]),
    ("lint", ["ruff", "check"]),
    ("types", ["mypy"]),
    # a process a core; the tests of a file share what they prepare
    ("tests", ["pytest", "--numprocesses", "auto", "--dist", "loadfile"]),
)


def main(options: list[str]) -> int:
    """Run the checks; `options` go to pytest."""
    for name, command in CHECKS:
        words = [sys.executable, "-m", *command, *(options if name == "tests" else [])]
        print(f"--- {name}: {' '.join(words[1:])}", flush=True)
        status = subprocess.run(words, cwd=ROOT, check=False).returncode
        if status:
            print(f"--- {name} failed", flush=True)
            return status if status > 0 else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
