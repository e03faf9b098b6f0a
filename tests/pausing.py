"""`sscd embed` in a process of its own that stops within a batch, to be stopped for good there."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, time
from itertools import count
from sscd_cli.embedding import local
from sscd_cli.__main__ import main
real, batches, last = local._write, count(1), int(sys.argv[1])
def pausing(some, *rest):
    if next(batches) == last:
        print("paused", flush=True)
        time.sleep(60)
    real(some, *rest)
local._write = pausing
sys.exit(main(sys.argv[2:]))
"""


def paused_embed(batch: int, *words: str) -> subprocess.Popen[str]:
    """Start `sscd embed WORDS`; return it as it is about to write a batch, counted from 1."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(batch), "embed", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "paused\n", process.communicate()
    return process
