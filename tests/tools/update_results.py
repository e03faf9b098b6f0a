"""Run a benchmark and put what it prints into RESULTS.md, between the marks that name it.

    python tests/tools/update_results.py bench_network [OPTION...]

The marks are the lines `<!-- bench_network -->` and `<!-- /bench_network -->`; what stood between
them goes. The options are those of the benchmark. A benchmark prints Markdown.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[1] / "bench"
RESULTS = BENCH / "RESULTS.md"


def main(name: str, *options: str) -> None:
    """Replace the section of one benchmark."""
    command = [sys.executable, str(BENCH / f"{name}.py"), *options]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    if run.returncode not in {0, 1} or "Traceback" in run.stderr:  # 1: above a limit, rows stay
        sys.exit(run.stdout + run.stderr)
    typed = shlex.join(["python", f"tests/bench/{name}.py", *map(shown, options)])
    section = f"{run.stdout.strip()}\n\n`{typed}`"
    RESULTS.write_text(replaced(RESULTS.read_text(), name, section))


def shown(option: str) -> str:
    """Return an option as RESULTS.md names it: of a path outside the project the last part."""
    return Path(option).name.upper() if Path(option).is_absolute() else option


def replaced(text: str, name: str, section: str) -> str:
    """Return `text` with another section between the marks of `name`.

    Raises: SystemExit: the marks are missing.
    """
    marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    text, count = marks.subn(lambda found: f"{found[1]}\n{section}\n\n{found[2]}", text)
    if count != 1:
        raise SystemExit(f"RESULTS.md has {count} sections {name}, not one")
    return text


if __name__ == "__main__":
    main(*sys.argv[1:])
