"""Kill `sscd apply` and `sscd undo` at random moments, and see that no byte is ever lost.

    python tests/killed_runs.py REPORT ACTION KILLS SEED FOLDER…

In turn apply is killed until it is through, then undo, until so many runs were killed. After each
kill every content that the folders had before must be in one of them, and after each undo the
files of the first folder must be as they were.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sscd_cli.commands import apply, undo
from sscd_cli.decisions import trash
from sscd_cli.options.apply import ApplyOptions, UndoOptions


def contents(folders: list[Path]) -> set[str]:
    """Return the digests of all files, wherever they lie."""
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def state(folder: Path) -> dict[str, Any]:
    """Return name, bytes, time and mode of each file, and the time of each folder."""
    found: dict[str, Any] = {".": folder.stat().st_mtime_ns}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        if path.is_dir():
            found[str(path)] = status.st_mtime_ns
        else:
            own = path.is_symlink(), status.st_nlink, status.st_mtime_ns, status.st_mode
            found[str(path)] = (*own, path.read_bytes())
    return found


def killed(work: Callable[[], Any], seconds: float) -> bool:
    """Do some work in a process that is killed after a time, if it is not through by then."""
    child = os.fork()
    if not child:
        work()
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or status == 0, status
    return os.WIFSIGNALED(status)


def main(report: str, action: Any, kills: int, seed: int, folders: list[Path]) -> None:
    """Run it, and print how many runs were killed."""
    if action == "trash":
        trash.check()
    rng, done = random.Random(seed), 0
    before, bytes_before = state(folders[0]), contents(folders)
    journal = Path("killed.journal.jsonl")
    options = ApplyOptions(report=Path(report), action=action, go=True, journal=journal)
    works = (lambda: apply.run(options)), (lambda: undo.run(UndoOptions(journal=journal)))
    while done < kills:
        for work in works:
            longest = 0.02
            while killed(work, rng.uniform(0, longest)):
                done += 1
                longest *= 1.15  # or a slow machine would never be through
                assert bytes_before <= contents(folders), "bytes are lost"
        after = state(folders[0])
        wrong = [name for name in before | after if before.get(name) != after.get(name)]
        assert not wrong, f"not restored: {wrong}"
    print(done)


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:5]), [Path(name) for name in sys.argv[5:]])
